"""Documents at addresses on the web, in limited time and memory."""

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

#: How long a server may take to send a document, however often it is asked, in seconds.
TIMEOUT = 20.0
#: Size of the largest document, in bytes.
MOST_BYTES = 2**26
#: Seconds between the times at which a server that fails is asked again, and for what failures.
DELAYS = (0.25, 0.5, 1.0, 2.0, 4.0)
_PASSING = (408, 429, 500, 502, 503, 504)
_DENIED = (401, 403)
#: TensorStore gives a connection up on which nothing has come for this long.
_SILENCE = {
    "TENSORSTORE_CURL_CONNECT_TIMEOUT_SECONDS": "6",
    "TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS": "6",
    "TENSORSTORE_CURL_LOW_SPEED_LIMIT_BYTES": "1",
}
#: It then asks again, three times: after 28 seconds a server is said not to answer.
RETRIES = {"max_retries": 3, "initial_delay": "500ms", "max_delay": "2s"}


class DeniedError(Exception):
    """A server does not give a document, as many do where nothing is."""


def limit_tensorstore() -> None:
    """Have TensorStore not wait without end for a server, before it first asks one."""
    for name, value in _SILENCE.items():
        os.environ.setdefault(name, value)


def fetch(address: str, path: str) -> bytes | None:
    """A document; None where there is none.

    Parameters
    ----------
    address
        Of the store, as it is written in an URL.
    path
        Of the document in it, in plain letters.

    Raises
    ------
    DeniedError
        The server does not give it.
    SourceError
        The server is not there, fails, does not answer in time, or sends more than any document.
    """
    request = _request(address, path)
    found: list[bytes | Exception | None] = []

    def ask() -> None:
        try:
            found.append(_asked(request))
        except Exception as error:  # It is raised where it was asked for.
            found.append(error)

    # Names are looked up, and headers are read, without a timeout of their own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    answer = found[0] if found else TimeoutError(f"no whole answer within {TIMEOUT:g} s")
    if isinstance(answer, DeniedError):
        raise answer
    if isinstance(answer, Exception):
        raise SourceError(f"{address}/{path}: it cannot be read ({answer})") from None
    if answer is not None and len(answer) > MOST_BYTES:
        raise SourceError(
            f"{address}/{path}: damaged: more than {MOST_BYTES} bytes, which no document has"
        )
    return answer


def _request(address: str, path: str) -> urllib.request.Request:
    url = urlsplit(address)
    headers = {"User-Agent": "neurozarr"}
    user, _, host = url.netloc.rpartition("@")
    if user:
        headers["Authorization"] = f"Basic {base64.b64encode(unquote(user).encode()).decode()}"
    where = urlunsplit((url.scheme, host, quote(f"{unquote(url.path)}/{path}"), "", ""))
    return urllib.request.Request(where, headers=headers)


def _asked(request: urllib.request.Request) -> bytes | None:
    """What a server sends, up to one byte more than a document has; None where nothing is."""
    for delay in (*DELAYS, None):
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                return bytes(response.read(MOST_BYTES + 1))
        except urllib.error.HTTPError as error:
            error.close()
            failure = f"{error.code} {error.reason}"
            if error.code == http.HTTPStatus.NOT_FOUND:
                return None
            if error.code in _DENIED:
                raise DeniedError(failure) from None
            if error.code not in _PASSING:
                break
        except (OSError, http.client.HTTPException) as error:
            failure = f"no connection: {getattr(error, 'reason', error)}"
        if delay is not None:
            time.sleep(delay)
    raise OSError(failure)
