"""Download of JSON documents, with limits on time and memory."""

from __future__ import annotations

import base64
import http.client
import os
import threading
import time
import urllib.error
import urllib.request
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from neurozarr.errors import SourceError

#: Maximum time for a document, retries included, in seconds.
TIMEOUT = 20.0
#: Maximum size of a document, in bytes.
MAX_BYTES = 2**26
#: Delays before retries, in seconds.
DELAYS = (0.25, 0.5, 1.0, 2.0, 4.0)
#: Status codes after which a request is retried.
_TRANSIENT = (408, 429, 500, 502, 503, 504)
_DENIED = (401, 403)
#: Have TensorStore give up a connection after this long without data.
_TENSORSTORE_TIMEOUTS = {
    "TENSORSTORE_CURL_CONNECT_TIMEOUT_SECONDS": "6",
    "TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS": "6",
    "TENSORSTORE_CURL_LOW_SPEED_LIMIT_BYTES": "1",
}
#: TensorStore's retries: it gives up a server after 28 seconds.
RETRIES = {"max_retries": 3, "initial_delay": "500ms", "max_delay": "2s"}


class DeniedError(Exception):
    """A server denies access to a document; many servers do so if the document does not exist."""


def limit_tensorstore() -> None:
    """Set TensorStore's timeouts, which it reads at its first request."""
    for name, value in _TENSORSTORE_TIMEOUTS.items():
        os.environ.setdefault(name, value)


def fetch(address: str, path: str) -> bytes | None:
    """Download a document.

    Parameters
    ----------
    address
        URL of the store, percent-encoded.
    path
        Path of the document in the store, not encoded.

    Returns
    -------
    bytes or None
        The document; None if it does not exist.

    Raises
    ------
    DeniedError
        The server denies access.
    SourceError
        The server cannot be reached, fails or does not answer in time, or the document is too
        large.
    """
    request = _request(address, path)
    found: list[bytes | Exception | None] = []

    def ask() -> None:
        try:
            found.append(_asked(request))
        except Exception as error:  # It is raised in the calling thread.
            found.append(error)

    # The timeout of urllib does not cover DNS lookups and slow headers.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    answer = found[0] if found else TimeoutError(f"no whole answer within {TIMEOUT:g} s")
    if isinstance(answer, DeniedError):
        raise answer
    if isinstance(answer, Exception):
        raise SourceError(f"{address}/{path}: it cannot be read ({answer})") from None
    if answer is not None and len(answer) > MAX_BYTES:
        raise SourceError(f"{address}/{path}: damaged: a document of more than {MAX_BYTES} bytes")
    return answer


def _request(address: str, path: str) -> urllib.request.Request:
    url = urlsplit(address)
    headers = {"User-Agent": "neurozarr"}
    user, _, host = url.netloc.rpartition("@")
    if user:
        headers["Authorization"] = f"Basic {base64.b64encode(unquote(user).encode()).decode()}"
    full = urlunsplit((url.scheme, host, quote(f"{unquote(url.path)}/{path}"), "", ""))
    return urllib.request.Request(full, headers=headers)


def _asked(request: urllib.request.Request) -> bytes | None:
    """Send a request, with retries; at most MAX_BYTES + 1 bytes, or None for 404."""
    for delay in (*DELAYS, None):
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                return bytes(response.read(MAX_BYTES + 1))
        except urllib.error.HTTPError as error:
            error.close()
            failure = f"{error.code} {error.reason}"
            if error.code == http.HTTPStatus.NOT_FOUND:
                return None
            if error.code in _DENIED:
                raise DeniedError(failure) from None
            if error.code not in _TRANSIENT:
                break
        except (OSError, http.client.HTTPException) as error:
            failure = f"no connection: {getattr(error, 'reason', error)}"
        if delay is not None:
            time.sleep(delay)
    raise OSError(failure)
