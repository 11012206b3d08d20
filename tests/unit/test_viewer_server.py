"""The server of the viewer: what it sends, and what it refuses, to whom."""

import http.client
import importlib.util
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from urllib.parse import urlsplit

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from neurozarr.errors import ConfigError
from neurozarr.viewer.images import open_images
from neurozarr.viewer.ranges import asked_range
from neurozarr.viewer.server import Server

from ..omezarr import write
from ..programs import PATIENCE, Program

if importlib.util.find_spec("neuroglancer") is None:
    pytest.skip("neuroglancer missing: extra view", allow_module_level=True)

VOXELS = np.random.default_rng(0).integers(0, 250, (8, 8, 8)).astype("u1")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    path = write(folder / "a b.zarr", VOXELS)
    (folder / "secret").write_text("secret")
    (path / "0/c/secret").write_text("secret")
    os.remove(path / "0/c/1/1/1")
    os.remove(path / "0/c/1/1/0")
    os.symlink(folder / "secret", path / "0/c/1/1/0")
    os.remove(path / "0/c/1/0/1")
    os.mkfifo(path / "0/c/1/0/1")
    return path


@pytest.fixture(scope="module")
def server(store):
    with Server(open_images(str(store)), title="a b.zarr") as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        try:
            yield found
        finally:
            found.shutdown()
            thread.join()


@pytest.fixture
def ask(server):
    """Sends a request below the page's address, and returns the answer and its content."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE)

    def ask(path, method="GET", *, token=server.token, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"/{token}/{path}" if token else path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read()

    yield ask
    connection.close()


def test_page_has_the_address_of_its_state(server, ask):
    answer, _ = ask("")
    assert answer.status == 302
    page, state = answer.headers["Location"].split("#!")
    assert page == f"{server.address}v/view/"
    assert state == f"{server.address}state.json"
    assert json.loads(ask("state.json")[1])["title"] == "a b.zarr"
    answer, content = ask(urlsplit(page).path, token=None)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html")
    assert b"neuroglancer" in content


def test_state_has_the_addresses_by_which_it_was_asked_for(ask):
    # As through a tunnel of ssh, with another port.
    answer, _ = ask("", Host="localhost:8080")
    page, state = answer.headers["Location"].split("#!")
    assert page.startswith("http://localhost:8080/")
    assert state.startswith("http://localhost:8080/")
    (layer,) = json.loads(ask("state.json", Host="localhost:8080")[1])["layers"]
    assert layer["source"]["url"].startswith("http://localhost:8080/")


def test_chunks_and_their_ranges_are_those_of_the_store(store, ask):
    expected = (store / "0/c/0/0/1").read_bytes()
    answer, content = ask("data/0/0/c/0/0/1")
    assert (answer.status, content) == (200, expected)
    for asked, part in [("bytes=3-9", slice(3, 10)), ("bytes=-5", slice(-5, None))]:
        answer, content = ask("data/0/0/c/0/0/1", Range=asked)
        assert (answer.status, content) == (206, expected[part])
        start, end, _ = part.indices(len(expected))
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(expected)}"
    answer, content = ask("data/0/0/c/0/0/1", Range="bytes=1-2,5-6")
    assert (answer.status, content) == (200, expected)
    answer, content = ask("data/0/0/c/0/0/1", "HEAD")
    assert (answer.status, content) == (200, b"")
    assert int(answer.headers["Content-Length"]) == len(expected)
    answer, content = ask("data/0/0/c/0/0/1", Range=f"bytes={len(expected)}-")
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(expected)}"


@given(
    st.integers(0, 40), st.none() | st.integers(0, 50), st.none() | st.integers(0, 50), st.data()
)
def test_range_is_that_of_the_rfc(size, first, last, data):
    content = bytes(range(size))
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    found = asked_range(header, size)
    if first is None and last is None:
        assert found == range(size)
    elif first is None:
        assert (content[-last:] if last else b"") == (bytes(content[i] for i in found or ()))
    elif last is not None and last < first:
        assert found == range(size)
    else:
        stop = size if last is None else last + 1
        assert content[first:stop] == bytes(content[i] for i in found or ())
        assert (found is None) == (first >= size)


@pytest.mark.parametrize(
    "header",
    [None, "", "bytes=0-1,3-4", "lines=1-2", "bytes=a-b", f"bytes=0-{'9' * 5000}"],
    ids=lambda header: str(header)[:20],
)
def test_other_ranges_are_ignored(header):
    assert asked_range(header, 9) == range(9)


def test_documents_are_those_of_the_viewer(server, ask):
    (image,) = server.images
    assert json.loads(ask("data/0/zarr.json")[1]) == image.document
    assert json.loads(ask("data/0/0/zarr.json")[1]) == image.levels[0].document


@pytest.mark.parametrize(
    "path",
    [
        "data/0/0/c/1/1/1",  # It is missing.
        "data/0/0/c/1/0/1",  # It is a pipe.
        "data/0/0/c/2/0/0",
        "data/0/0/c/00/0/0",
        "data/0/0/c/0/0",
        "data/0/0/c/",
        "data/0/0/c/secret",
        "data/0/0/",
        "data/0/0/.",
        "data/0/0/../zarr.json",
        "data/0/0/c/../../../../secret",
        "data/0/0/c/%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret",
        "data/0/0/c/0/0/..%2f0",
        "data/0/0//etc/passwd",
        "data/1/zarr.json",
        "data/-1/zarr.json",
        "data/0/1/zarr.json",
        "data/0/labels/zarr.json",
        "v/view/../server.py",
        "v/view/%2e%2e%2f__init__.py",
        "v/view/x.js",
        "v/view",
        "data",
        "%ff",
    ],
)
def test_nothing_else_is_sent(ask, path):
    answer, content = ask(path)
    assert (answer.status, content) == (404, b"Not Found\n")


def test_link_out_of_the_store_is_refused(ask, caplog):
    for _ in range(2):
        answer, content = ask("data/0/0/c/1/1/0")
        assert (answer.status, content) == (403, b"Forbidden\n")
    assert "links out of the store are not shown" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize("path", ["", "state.json", "data/0/zarr.json", "v/view/"])
def test_token_is_needed(server, ask, path):
    for token in ("x", "", server.token[:-1], f"{server.token}x", "%C3%BC"):
        assert ask(f"/{token}/{path}", token=None)[0].status == 404


def test_address_for_the_browser_leads_there_once(server, ask):
    path = urlsplit(server.once()).path
    assert ask(f"{path}data/0/zarr.json", "HEAD", token=None)[0].status == 404
    answer, _ = ask(path, token=None)
    assert (answer.status, server.token in answer.headers["Location"]) == (302, True)
    assert ask(path, token=None)[0].status == 404


def test_other_names_of_this_computer_are_refused(ask):
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
        assert ask("data/0/zarr.json", Host=host)[0].status == 403


def test_other_pages_are_refused(server, ask):
    own = f"http://127.0.0.1:{server.server_port}"
    answer, _ = ask("data/0/zarr.json", Origin=own)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, own)
    for origin in (
        "null",
        "http://evil.example",
        "http://127.0.0.1:1",
        own.replace("http", "https"),
    ):
        answer, content = ask("data/0/zarr.json", Origin=origin)
        assert (answer.status, content) == (403, b"Forbidden\n")
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert ask("data/0/zarr.json", Sec_Fetch_Site="cross-site")[0].status == 403


def test_page_may_ask_only_this_server(ask):
    policy = ask("v/view/")[0].headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self';" in policy
    assert not {"*", "http:", "https:"} & set(policy.replace(";", " ").split())


def test_only_loopback_is_listened_on(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(ask, method):
    assert ask("data/0/0/c/0/0/1", method)[0].status == 501


def first_chunk(path):
    """The status and the content of what is sent for the first chunk of a store."""
    with Server(open_images(str(path)), title="a") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE)
        connection.request("GET", f"/{server.token}/data/0/0/c/0/0/0")
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        server.shutdown()
    return found


def test_damaged_chunk_is_an_error_with_its_reason(tmp_path):
    path = write(tmp_path / "a.zarr", VOXELS.astype("f8"))
    (path / "0/c/0/0/0").write_bytes(b"damaged")
    status, content = first_chunk(path)
    assert status == 500
    assert f"{path}/0/c/0/0/0" in content.decode()


def test_damage_that_only_a_codec_knows_is_an_error(tmp_path):
    path = write(tmp_path / "a.zarr", VOXELS)
    shutil.rmtree(path / "0")
    array = zarr.create_array(
        path / "0", shape=(8,) * 3, chunks=(4,) * 3, dtype="u1", zarr_format=2,
        compressors=numcodecs.LZ4(),
    )  # fmt: skip
    array[:] = VOXELS
    (path / "0/0.0.0").write_bytes(b"damaged and long enough")
    status, content = first_chunk(path)
    assert status == 500
    assert f"{path}/0: the voxels cannot be read" in content.decode()


def test_link_out_of_the_store_is_not_decoded(tmp_path):
    path = write(tmp_path / "a.zarr", VOXELS.astype("f8"))
    os.rename(path / "0/c/0/0/0", tmp_path / "secret")
    os.symlink(tmp_path / "secret", path / "0/c/0/0/0")
    assert first_chunk(path) == (403, b"Forbidden\n")


def test_port_in_use_is_an_error(store):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port is {port}, but this cannot be used"):
            Server([], title="a", port=port)
    with pytest.raises(ConfigError, match="port is 70000"):
        Server([], title="a", port=70000)


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs the package neuroglancer: .*pip install"):
        Server([], title="a")


def test_other_requests_are_answered(server):
    for line in (b"GET * HTTP/1.1", b"GET http://[ HTTP/1.1", b"GET // HTTP/1.1"):
        with socket.create_connection(("127.0.0.1", server.server_port), PATIENCE) as connection:
            connection.sendall(line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 404 ")


def command(*words, **variables):
    program = [sys.executable, "-m", "neurozarr", "view", *words]
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment |= variables
    return Program(
        program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_command_serves_until_it_is_interrupted(store):
    with command(str(store), str(store)) as process:
        title, _, address = process.stdout.readline().strip().partition(": ")
        assert title == "a b.zarr, a b.zarr"
        place = urlsplit(address)
        connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=PATIENCE)
        connection.request("GET", f"{place.path}events/view?c=1&gc=")
        events = connection.getresponse()  # The page keeps this open.
        assert events.headers["Content-Type"] == "text/event-stream"
        assert process.stdout.readline() == "Press Ctrl-C to end.\n"
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
        assert (process.wait(PATIENCE), process.stdout.read()) == (0, "")
        connection.close()
    assert "a pipe" in errors.splitlines()[0]
    assert errors.splitlines() == errors.splitlines()[:1] * 2


def test_command_opens_the_page_in_a_browser(store, tmp_path):
    # It goes on until it is closed, as some browsers do.
    browser, opened, closed = (tmp_path / name for name in ("browser", "opened", "closed"))
    browser.write_text(
        f"#!/bin/sh\ncd {shlex.quote(str(tmp_path))}\n"
        'echo "$1" >opened\nuntil [ -e closed ]; do sleep 0.1; done\n'
    )
    browser.chmod(0o755)
    with command(str(store), DISPLAY=":99", BROWSER=str(browser)) as process:
        printed = process.stdout.readline().split()[-1]
        while not (opened.exists() and opened.read_text().endswith("\n")):
            assert process.poll() is None
            time.sleep(0.01)
        address = opened.read_text().strip()
        assert urlsplit(address).netloc == urlsplit(printed).netloc
        assert address != printed
        with urllib.request.urlopen(address, timeout=PATIENCE) as page:
            assert page.url.startswith(f"{printed}v/view/")
        closed.touch()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


def test_command_says_what_cannot_be_shown(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=np.ones((2, 2)))
    with command(str(tmp_path / "a.zarr")) as process:
        output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (1, "")
    assert errors == f"{tmp_path}/a.zarr: it contains no OME-Zarr image; convert it first\n"
