"""The viewer's page in a browser: what its panels show."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import imagecodecs
import numpy as np
from playwright.sync_api import Page

from neurozarr.viewer.images import open_images, with_units
from neurozarr.viewer.server import Server

from ..programs import PATIENCE

#: Waits until all that the panels need has been there, and drawn, for three frames.
_UNTIL_DRAWN = """async milliseconds => {
    const frame = () => new Promise(requestAnimationFrame);
    for (let ready = 0, start = Date.now(); ready < 3; await frame()) {
        const is_ready = viewer.layerManager.managedLayers.length > 0 && viewer.isReady();
        ready = is_ready ? ready + 1 : 0;
        if (Date.now() - start > milliseconds) throw new Error("the page is not drawn");
    }
    viewer.display.draw();
}"""
#: Width of the part of a panel in which there are white buttons, the scale bar and names of axes.
MARGIN = 50


class Viewed:
    """A page of the viewer, in which everything is drawn.

    Attributes
    ----------
    page
        The page.
    requests
        Addresses that it has asked for, from the start.
    """

    def __init__(self, open_page: Callable[..., Page], address: str, **options: object) -> None:
        self.requests: list[str] = []
        self.page = open_page("about:blank", **options)
        self.page.on("request", lambda asked: self.requests.append(asked.url))
        self.page.goto(address)
        self.wait()

    def wait(self) -> None:
        """Wait until everything is drawn."""
        self.page.evaluate(_UNTIL_DRAWN, 1000 * PATIENCE)

    @property
    def state(self) -> dict:
        """The state of the viewer, as its page gives it."""
        return self.page.evaluate("viewer.state.toJSON()")

    def change(self, **state: object) -> None:
        """Change parts of the state, by their names in it."""
        for name, value in state.items():
            self.page.evaluate(f"value => viewer.{name}.restoreState(value)", value)
        self.wait()

    def panels(self) -> list[np.ndarray]:
        """Pixels of each panel, row by row: RGB, without margins, in which there are controls."""
        pixels = imagecodecs.png_decode(self.page.screenshot())[..., :3]
        found = []
        for element in self.page.query_selector_all(".neuroglancer-rendered-data-panel"):
            box = element.bounding_box()
            assert box is not None
            x, y, width, height = (round(box[name]) for name in ("x", "y", "width", "height"))
            panel = pixels[y : y + height, x : x + width]
            found.append(panel[MARGIN:-MARGIN, MARGIN:-MARGIN])
        return found


@contextmanager
def serving(*stores: Path) -> Iterator[str]:
    """Serve stores, and give the address of the page."""
    images = with_units([image for store in stores for image in open_images(str(store))])
    with Server(images, title=", ".join(store.name for store in stores)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.address
        finally:
            server.shutdown()
            thread.join()
