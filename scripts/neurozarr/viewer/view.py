"""Show stores in a browser, which the command ``neurozarr view`` does."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Sequence

from neurozarr.viewer.images import open_images, with_units
from neurozarr.viewer.server import Server


def view(paths: Sequence[str], *, port: int = 0, browser: bool = True) -> None:
    """Serve a page with the images of stores until Ctrl-C is pressed.

    Parameters
    ----------
    paths
        Directories of the stores.
    port
        Port to listen on; 0 for any that is free.
    browser
        Whether to open the page in a browser, if there is a screen.

    Raises
    ------
    SourceError
        A store cannot be shown.
    ConfigError
        The package of the page is missing, or the port cannot be used.
    """
    found = [open_images(path) for path in paths]
    title = ", ".join(os.path.basename(os.path.abspath(path)) for path in paths)
    together = with_units([image for images in found for image in images])
    server = Server(together, title=title, port=port)
    with server:
        # webbrowser.open may return only when the browser is closed, which needs the page before.
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            print(f"{title}: {server.address}\nPress Ctrl-C to end.", flush=True)
            if browser and _has_screen():
                webbrowser.open(server.once())
            serving.join()
        except KeyboardInterrupt:
            if sys.stdout.isatty():
                print()  # The terminal shows ^C.
        finally:
            server.shutdown()


def _has_screen() -> bool:
    """Whether a browser would open a window, and not run in this terminal or nowhere."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
