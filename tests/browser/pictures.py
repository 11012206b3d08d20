"""Make the pictures of README.md from the demo: `make pictures`."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from .conftest import ARGUMENTS, executable

#: Colours of a picture, which keep it small.
COLORS = 200
#: Each has a light and a dark form.
SCHEMES = ("light", "dark")


def report(browser: Browser, demo: Path, scheme: str) -> bytes:
    """The upper part of the page of the demo's sample."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1100, "height": 1010})
    page = context.new_page()
    page.goto((demo / "results/reports/example4d.html").resolve().as_uri())
    shown = page.screenshot()
    context.close()
    return shown


#: Functions that make a picture, by its name.
PICTURES: dict[str, Callable[[Browser, Path, str], bytes]] = {"report": report}


def main(demo: Path, folder: Path) -> None:
    """Write all pictures of a demo into a folder."""
    folder.mkdir(exist_ok=True)
    path = executable()
    if path is None:
        sys.exit("chromium missing; as root on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        for name, make in PICTURES.items():
            for scheme in SCHEMES:
                image = Image.open(io.BytesIO(make(browser, demo, scheme))).convert("RGB")
                few = image.quantize(COLORS, dither=Image.Dither.NONE)
                few.save(folder / f"{name}-{scheme}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
