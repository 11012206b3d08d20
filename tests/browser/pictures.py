"""Make the pictures of README.md: ``python -m tests.browser.pictures DIRECTORY``."""

import shutil
import sys
import tempfile
from pathlib import Path

import nibabel
from playwright.sync_api import Browser, Page, sync_playwright

import neurozarr

from .conftest import ARGUMENTS
from .viewing import Viewed, serving

SOURCE = Path(nibabel.__file__).parent / "tests/data/example4d.nii.gz"


def picture_viewer(browser: Browser, picture: Path) -> None:
    """Make a picture of the store of `make demo` in the viewer."""

    def open_page(address: str, **options: object) -> Page:
        page = browser.new_page(**options)
        page.goto(address)
        return page

    with tempfile.TemporaryDirectory() as folder:
        store = neurozarr.convert(SOURCE, folder, zarr={"chunk": 32})
        with serving(store) as address:
            viewed = Viewed(open_page, address, viewport={"width": 1000, "height": 700})
            viewed.page.screenshot(path=picture)
            viewed.page.close()


def main(folder: Path) -> None:
    """Make all pictures in a directory."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS
        )
        picture_viewer(browser, folder / "viewer.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
