"""Pages in a real browser: Chromium without a screen, with WebGL in software."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from ..programs import PATIENCE

ARGUMENTS = (
    "--no-sandbox",  # Root has none.
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)


def executable() -> str | None:
    """Path of the browser; None if there is none."""
    return shutil.which("chromium")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = executable()
    if not path:
        reason = "chromium missing; as root on Debian: apt-get install chromium"
        assert "NEUROZARR_NEEDS_BROWSER" not in os.environ, reason
        pytest.skip(reason)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=path, args=ARGUMENTS, timeout=1000 * PATIENCE
        )
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens an address in a page of its own, with options of Playwright's new_context.

    At the end of the test, no page may have an error, a message of one in its console, or a request
    that failed or was sent to another computer.
    """
    wrong: list[str] = []
    contexts = []

    def check_request(request):
        if not request.url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:")):
            wrong.append(f"request to {request.url}")

    def check_response(response):
        if response.status >= 400:
            wrong.append(f"{response.status}: {response.url}")

    def check_failure(request):
        if request.failure != "net::ERR_ABORTED":  # The page no longer wants it.
            wrong.append(f"{request.failure}: {request.url}")

    def open_address(address: str, **options: object) -> Page:
        context = browser.new_context(**options)
        context.set_default_timeout(1000 * PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
        page.on("request", check_request)
        page.on("requestfailed", check_failure)
        page.on("response", check_response)
        page.goto(address)
        return page

    yield open_address
    for context in contexts:
        context.close()
    assert not wrong
