"""Reports in a browser: nothing fails, nothing leaves the page, and one can work with the list."""

import time

import numpy as np
import pytest

import neurozarr
from neurozarr.report.index import render, write_index
from neurozarr.run.paths import StorePaths
from neurozarr.samples import arguments
from neurozarr.samples.reading import read_run
from neurozarr.steps.report_sample import report_sample

from ..programs import PATIENCE

HOSTILE = "<img src=http://example.org/x onerror=alert(1)><script>throw 1</script>"
#: Every picture of a page has pixels.
DECODED = "[...document.images].every(image => image.complete && image.naturalWidth > 0)"
#: Nothing is wider than the window.
FITS = "document.documentElement.scrollWidth <= window.innerWidth"


def wait_for(page, condition):
    """Wait for a condition; the pages forbid what Playwright has for it."""
    end = time.monotonic() + PATIENCE
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


@pytest.fixture(scope="module")
def reports(tmp_path_factory, mri):
    """Pages of a brain and of channels with hostile names, and the list, with a failed sample."""
    folder = tmp_path_factory.mktemp("reports")
    np.save(folder / "cells.npy", np.random.default_rng(0).integers(0, 99, (2, 600, 520), "u1"))
    for source, options in (
        (mri / "example4d.nii.gz", {"zarr": {"chunk": 32}}),
        (folder / "cells.npy", {"axes": "cyx", "ome": {"channel_names": [HOSTILE, "b"]}}),
    ):
        neurozarr.convert(source, folder, **options)
        run, samples = read_run(options | {"source": str(source), "output": str(folder)})
        for name, sample in samples.items():
            told = arguments.report_sample(sample, run, directory=str(folder))
            report_sample(run.paths(name), **told, benchmarks_in="none")
    failed = {"bad": {"reason": f"{HOSTILE}: damaged", "log": "logs/bad/convert.log"}}
    write_index(
        StorePaths(output=str(folder), sample="", nii=True, zarr_version=3), failed, samples=()
    )
    return folder / "reports"


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["example4d", "cells", "index"])
def test_pages_are_complete_and_fit(open_page, reports, name, scheme, width):
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    page = open_page((reports / f"{name}.html").as_uri(), **options)
    wait_for(page, DECODED)
    assert page.evaluate(FITS)
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, color[4:-1].split(","))) < 64) == (scheme == "dark")


def test_voxels_are_drawn_in_their_proportions(open_page, reports):
    page = open_page((reports / "example4d.html").as_uri(), viewport={"width": 1400, "height": 900})
    boxes = [each.bounding_box() for each in page.locator(".row .picture").all()[:3]]
    # 128 x 96 x 24 voxels of 2 x 2 x 2.2 mm.
    for box, proportion in zip(boxes, (256 / 192, 256 / 52.8, 192 / 52.8), strict=True):
        assert box["width"] / box["height"] == pytest.approx(proportion, rel=0.02)
    assert boxes[0]["width"] == pytest.approx(boxes[1]["width"], rel=0.01)


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("size", ["0.002,0.0005,0.0005", "100,1,1", "1,1,100"])
def test_planes_of_any_size_can_be_seen(open_page, tmp_path, size, width):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 99, (10, 60, 80), "u1"))
    options = {"voxel_size": size, "unit": "mm"}
    neurozarr.convert(tmp_path / "a.npy", tmp_path, **options)
    run, samples = read_run(options | {"source": f"{tmp_path}/a.npy", "output": str(tmp_path)})
    told = arguments.report_sample(samples["a"], run, directory=str(tmp_path))
    report_sample(run.paths("a"), **told, benchmarks_in="none")
    page = open_page(run.paths("a").page.as_uri(), viewport={"width": width, "height": 900})
    assert page.evaluate(FITS)
    z, y, x = map(float, size.split(","))
    proportions = (80 * x / (60 * y), 80 * x / (10 * z), None)
    rows = zip(page.locator(".row figure").all(), proportions, strict=True)
    for figure, proportion in rows:
        box, caption = (figure.locator(part).bounding_box() for part in (".picture", "figcaption"))
        assert max(box["width"], box["height"]) > 100
        assert caption["height"] < 50
        if proportion is not None and min(box["width"], box["height"]) > 20:
            assert box["width"] / box["height"] == pytest.approx(proportion, rel=0.02)


def names(page):
    return page.locator("tbody tr:visible .name").evaluate_all(
        "each => each.map(e => e.dataset.key)"
    )


def test_list_is_sorted_and_searched_by_keyboard(open_page, reports):
    page = open_page((reports / "index.html").as_uri())
    assert names(page) == ["bad", "cells", "example4d"]
    page.get_by_role("searchbox", name="Search").focus()
    page.keyboard.type("INT16 4d")
    assert names(page) == ["example4d"]
    assert page.get_by_role("status").inner_text() == "1 of 3 samples"
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    voxels = page.get_by_role("button", name="Voxels")
    voxels.focus()
    page.keyboard.press("Enter")
    assert names(page) == ["example4d", "cells", "bad"]
    page.keyboard.press("Enter")
    assert names(page) == ["cells", "example4d", "bad"]
    header = page.get_by_role("columnheader", name="Voxels")
    assert header.get_attribute("aria-sort") == "descending"
    page.get_by_role("checkbox", name="only failed").check()
    assert names(page) == ["bad"]
    assert "damaged" in page.locator("tbody tr:visible").inner_text()
    page.get_by_role("checkbox", name="only failed").uncheck()
    page.get_by_role("link", name="example4d").click()
    page.wait_for_url("**/example4d.html")
    assert page.get_by_role("heading", level=1).inner_text() == "example4d"
    page.get_by_role("link", name="All samples").click()
    page.wait_for_url("**/index.html")
    wait_for(page, DECODED)


def test_pictures_of_thousands_are_loaded_when_they_are_seen(open_page, reports, tmp_path):
    row = {"shape": "1", "axes": "x", "dtype": "u1", "size": "1", "levels": 1, "stored": 1}
    row |= {"voxels": 1, "source": "", "made": ""}
    (tmp_path / "thumbnails").mkdir()
    for number in range(3000):
        file = tmp_path / f"thumbnails/s{number}.png"
        file.hardlink_to(reports / "thumbnails/example4d.png")
    rows = {f"s{number}": row | {"voxels": number} for number in range(3000)}
    (tmp_path / "index.html").write_text(render(rows, {}))
    page = open_page((tmp_path / "index.html").as_uri())
    loaded = "[...document.images].filter(image => image.naturalWidth > 0).length"
    wait_for(page, f"{loaded} > 0")
    assert page.evaluate(loaded) < 300
    page.get_by_role("button", name="Voxels").click()
    page.get_by_role("button", name="Voxels").click()
    assert names(page)[0] == "s2999"
    page.get_by_role("searchbox").fill("s29")
    assert page.get_by_role("status").inner_text() == "111 of 3000 samples"
