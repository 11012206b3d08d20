"""The server of the viewer: its page, and the chunks of the images that it shows.

It answers only this computer, and only those who know the address that it prints, which contains a
random token: neither other users nor other web pages can read the images. Nothing is sent but the
files of the page, documents that are made here, and the chunks of the images.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import secrets
import stat
import sys
import threading
from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from neurozarr.errors import ConfigError, SourceError
from neurozarr.regions import Region
from neurozarr.sources.extras import install_command
from neurozarr.sources.zarr.nodes import chunk_files, join
from neurozarr.viewer.images import Image, Level
from neurozarr.viewer.ranges import asked_range
from neurozarr.viewer.state import viewer_state
from neurozarr.zarr.chunks import chunk_index, write_chunk_shape

logger = logging.getLogger(__name__)

#: Names by which a browser on this computer calls it; others may be sent by a page elsewhere whose
#: name was made to lead here ("DNS rebinding").
_HOSTS = ("127.0.0.1", "localhost")
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".wasm": "application/wasm",
}
#: Nothing that the page does may leave this server.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; worker-src 'self' blob:; font-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: Seconds between the signs of life of the stream by which the page knows that the server is there.
_HEARTBEAT = 5.0
_BLOCK = 2**20
#: What the page is told by this stream: no bar of layers in each panel; there is a list of all.
_CONFIG = {"k": "c", "g": "1", "s": {"showLayerPanel": False}}


def client_folder() -> Path:
    """Directory of the files of Neuroglancer's page, in the installed package ``neuroglancer``.

    Raises
    ------
    ConfigError
        The package is not installed, or has no page.
    """
    found = importlib.util.find_spec("neuroglancer")  # It is not imported, which takes seconds.
    for place in (found and found.submodule_search_locations) or ():
        folder = Path(place) / "static/client"
        if (folder / "index.html").is_file():
            return folder
    raise ConfigError(f"the viewer needs the package neuroglancer: {install_command('view')}")


class Server(ThreadingHTTPServer):
    """A server of images for one page.

    Parameters
    ----------
    images
        The images, in the order of their layers.
    title
        Title of the page.
    port
        Port to listen on; 0 for any that is free.

    Raises
    ------
    ConfigError
        The package of the page is missing, or the port is in use or not allowed.
    """

    daemon_threads = True

    def __init__(self, images: Sequence[Image], *, title: str, port: int = 0) -> None:
        folder = client_folder()
        self.images = images
        self.title = title
        self.files = {path.name: path for path in folder.iterdir() if path.suffix in _TYPES}
        self.token = secrets.token_urlsafe(16)
        self.visits: set[str] = set()
        self.ending = threading.Event()
        try:
            super().__init__((_HOSTS[0], port), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"port is {port}, but this cannot be used ({error}); give another, or none"
            ) from None

    @property
    def address(self) -> str:
        """Address of the page."""
        return f"http://{_HOSTS[0]}:{self.server_port}/{self.token}/"

    def once(self) -> str:
        """An address of the page that leads there only once.

        Others on this computer may see it, among the arguments of the browser.
        """
        self.visits.add(token := secrets.token_urlsafe(16))
        return f"http://{_HOSTS[0]}:{self.server_port}/{token}/"

    def is_first_visit(self, token: str) -> bool:
        """Whether a token is that of an address of `once`, which has not been visited before."""
        try:
            self.visits.remove(token)
        except KeyError:
            return False
        return True

    def server_close(self) -> None:
        self.ending.set()
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a page that no longer waits for an answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: Server
    #: A connection without requests is closed after this many seconds.
    timeout = 60

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: there are thousands of requests."""

    def version_string(self) -> str:
        return "neurozarr"

    def _answer(self) -> None:
        host = self.headers.get("Host", "")
        name = host.rpartition(":")[0] or host
        origin = self.headers.get("Origin")
        if name not in _HOSTS or origin not in (None, f"http://{host}"):
            return self._refuse(HTTPStatus.FORBIDDEN)
        if self.headers.get("Sec-Fetch-Site") == "cross-site" and "/data/" in self.path:
            return self._refuse(HTTPStatus.FORBIDDEN)
        parts = unquote(self.path.partition("?")[0]).removeprefix("/").split("/")
        if parts == ["favicon.ico"]:  # Browsers ask for it, and report if it is missing.
            return self._start(HTTPStatus.NO_CONTENT, None, {})
        base = f"http://{host}/{self.server.token}"
        if self.command == "GET" and self.server.is_first_visit(parts[0]):
            return self._redirect(base)
        if not secrets.compare_digest(parts[0].encode(), self.server.token.encode()):
            return self._refuse(HTTPStatus.NOT_FOUND)
        match parts[1:]:
            case [""]:
                return self._redirect(base)
            case ["state.json"]:
                return self._state(base)
            case ["v", _, name] if (name or "index.html") in self.server.files:
                path = self.server.files[name or "index.html"]
                return self._file(path, _TYPES[path.suffix])
            case ["events", _]:
                return self._events()
            case ["data", number, *rest] if _is_below(number, len(self.server.images)):
                return self._image(self.server.images[int(number)], rest)
        return self._refuse(HTTPStatus.NOT_FOUND)

    def _redirect(self, base: str) -> None:
        """Lead to the page, which reads its state from the address after "#!"."""
        self._start(HTTPStatus.FOUND, 0, {"Location": f"{base}/v/view/#!{base}/state.json"})

    def _state(self, base: str) -> None:
        """Send the state of the page. Its addresses begin as that by which it was asked for."""
        images = self.server.images
        addresses = [f"{base}/data/{number}/" for number in range(len(images))]
        self._json(viewer_state(images, addresses, title=self.server.title))

    def _events(self) -> None:
        """Keep the stream open by which Neuroglancer's page looks for a Python program."""
        self.close_connection = True
        self._start(HTTPStatus.OK, None, {"Content-Type": "text/event-stream"})
        if self.command == "HEAD":
            return
        self.wfile.write(f"data: {json.dumps(_CONFIG)}\n\n".encode())
        while not self.server.ending.wait(_HEARTBEAT):
            self.wfile.write(b":\n\n")

    def _image(self, image: Image, parts: list[str]) -> None:
        """Send a document of an image, or a chunk of one of its levels."""
        match parts:
            case ["zarr.json"]:
                return self._json(image.document)
            case ["names", "info"] if image.names:
                return self._json(image.names)
            case [number, *key] if _is_below(number, len(image.levels)):
                level = image.levels[int(number)]
                if key == ["zarr.json"]:
                    return self._json(level.document)
                index = chunk_index(level.document, "/".join(key))
                if index is not None:
                    return self._chunk(level, index, "/".join(key))
        return self._refuse(HTTPStatus.NOT_FOUND)

    def _chunk(self, level: Level, index: tuple[int, ...], key: str) -> None:
        """Send a chunk, as stored or decoded, unless a file of it is a link out of the store."""
        root = os.path.realpath(level.store.root)
        for file in chunk_files(level.node, chunk_region(level, index)):
            path = os.path.realpath(level.store.address(join(level.node.path, file)))
            if os.path.commonpath([path, root]) != root:
                _warn(f"{root}: chunks that are links out of the store are not shown")
                return self._refuse(HTTPStatus.FORBIDDEN)
        if level.is_decoded:
            try:
                content = decoded_chunk(level, index)
            except SourceError as error:
                _warn(str(error))
                return self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            return self._bytes(content, "application/octet-stream")
        path = level.store.address(join(level.node.path, key))
        return self._file(path, "application/octet-stream")

    def _file(self, path: str | Path, kind: str) -> None:
        """Send a file, or the range of it that is asked for."""
        try:
            # A pipe would wait for a writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return self._refuse(HTTPStatus.NOT_FOUND)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                return self._refuse(HTTPStatus.NOT_FOUND)
            size = found.st_size
            part = asked_range(self.headers.get("Range"), size)
            headers = {"Content-Type": kind, "Accept-Ranges": "bytes"}
            if part is None:
                headers["Content-Range"] = f"bytes */{size}"
                return self._start(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 0, headers)
            status = HTTPStatus.OK
            if len(part) < size:
                status = HTTPStatus.PARTIAL_CONTENT
                headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
            self._start(status, len(part), headers)
            if self.command == "HEAD":
                return None
            file.seek(part.start)
            left = len(part)
            while left:
                content = file.read(min(left, _BLOCK))
                if not content:  # It became shorter.
                    self.close_connection = True
                    break
                self.wfile.write(content)
                left -= len(content)
        return None

    def _json(self, document: dict[str, Any]) -> None:
        self._bytes(json.dumps(document).encode(), "application/json")

    def _bytes(self, content: bytes, kind: str) -> None:
        self._start(HTTPStatus.OK, len(content), {"Content-Type": kind})
        if self.command != "HEAD":
            self.wfile.write(content)

    def _refuse(self, status: HTTPStatus, reason: str = "") -> None:
        content = f"{reason or status.phrase}\n".encode()
        self._start(status, len(content), {"Content-Type": "text/plain; charset=utf-8"})
        if self.command != "HEAD":
            self.wfile.write(content)

    def _start(self, status: HTTPStatus, length: int | None, headers: dict[str, str]) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if (origin := self.headers.get("Origin")) and status != HTTPStatus.FORBIDDEN:
            self.send_header("Access-Control-Allow-Origin", origin)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Vary", "Origin")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()


def chunk_region(level: Level, index: Sequence[int]) -> Region:
    """The voxels of a chunk of a level, from its index in the grid of chunks."""
    return tuple(
        slice(i * size, min((i + 1) * size, length))
        for i, size, length in zip(
            index, write_chunk_shape(level.document), level.shape, strict=True
        )
    )


def decoded_chunk(level: Level, index: Sequence[int]) -> bytes:
    """The bytes of a chunk of a level whose document has no compression.

    Parameters
    ----------
    level
        The level.
    index
        Index of the chunk in the grid of chunks.

    Raises
    ------
    SourceError
        It cannot be read or decoded.
    """
    region = chunk_region(level, index)
    dtype = np.dtype(level.document["data_type"]).newbyteorder("<")
    whole = np.zeros(write_chunk_shape(level.document), dtype)
    part = tuple(slice(0, side.stop - side.start) for side in region)
    voxels = level.read(region)
    with np.errstate(all="ignore"):  # Values that the data type lacks have no right ones.
        whole[part] = voxels
    return whole.tobytes()


@cache
def _warn(message: str) -> None:
    """Log a message the first time only."""
    logger.warning("%s", message)


def _is_below(text: str, count: int) -> bool:
    """Whether a text is one of the numbers from 0 to ``count`` - 1, as they are written."""
    return text in map(str, range(count))
