"""Make the pictures of README.md: ``python -m tests.browser.pictures DIRECTORY``."""

import io
import os
import sys
import tempfile
from pathlib import Path

import nibabel
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

import neurozarr
from neurozarr.samples import arguments
from neurozarr.samples.reading import read_run
from neurozarr.steps.report_sample import report_sample

from .conftest import ARGUMENTS, executable
from .viewing import Viewed, serving

SOURCE = Path(nibabel.__file__).parent / "tests/data/example4d.nii.gz"
#: Colours of a picture of a report, which keep it small.
COLORS = 200


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


def picture_report(browser: Browser, picture: Path, scheme: str) -> None:
    """Make a picture of the upper part of the report of the same store, light or dark."""
    with tempfile.TemporaryDirectory() as folder:
        zarr = {"chunk": 32}
        neurozarr.convert(SOURCE, folder, zarr=zarr)
        run, samples = read_run({"source": str(SOURCE), "output": folder, "zarr": zarr})
        ((name, sample),) = samples.items()
        given = arguments.report_sample(sample, run, directory=os.getcwd())
        report_sample(run.paths(name), **given, benchmarks_in=folder)
        size = {"width": 1100, "height": 1010}
        page = browser.new_page(color_scheme=scheme, viewport=size)
        page.goto(run.paths(name).page.as_uri())
        shown = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        shown.quantize(COLORS, dither=Image.Dither.NONE).save(picture, optimize=True)
        page.close()


def main(folder: Path) -> None:
    """Make all pictures in a directory."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=ARGUMENTS)
        picture_viewer(browser, folder / "viewer.png")
        for scheme in ("light", "dark"):
            picture_report(browser, folder / f"report-{scheme}.png", scheme)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
