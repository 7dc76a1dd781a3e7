"""A file on a web server as a stream that can seek, and that outlives a broken connection.

Reading goes on at the byte where it stopped (RFC 9110, section 14: Range requests), so that hours
of streaming do not hang on one connection, and Parquet, which is read from its end, needs no copy.
"""

import http.client
import io
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar

from groundup.errors import GroundupError, InputError

ATTEMPTS = 5
FIRST_WAIT_SECONDS = 0.5
TIMEOUT_SECONDS = 30
READ_AHEAD_BYTES = 1 << 20
RETRIED_STATUSES = (408, 425, 429, 500, 502, 503, 504)

T = TypeVar("T")


def open_remote(url: str, where: str, token: str | None = None) -> io.BufferedReader:
    """A stream of the file at `url`, called `where` in messages; `token` is sent to this host only.

    Raises `InputError` if the server has no such file or denies it, and `GroundupError` if it
    cannot be reached or breaks off again and again.
    """
    return io.BufferedReader(RemoteFile(url, where, token), READ_AHEAD_BYTES)


class RemoteFile(io.RawIOBase):
    """The stream itself: a position, and an open response that stands at this position."""

    def __init__(self, url: str, where: str, token: str | None = None):
        self.url, self.where, self.token = url, where, token
        self.position = 0
        self.size: int | None = None
        self.tag: str | None = None
        self._response: Any = None
        self._response = self._persistently(self._connect)

    def readinto(self, buffer: Any) -> int:
        if self.position == self.size or not len(buffer):
            return 0
        count = self._persistently(lambda: self._receive(buffer))
        self.position += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END and self.size is None:
            raise io.UnsupportedOperation(f"{self.where}: the server does not tell its length")
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        if (start or 0) + offset != self.position:
            self._disconnect()
            self.position = (start or 0) + offset
        return self.position

    def tell(self) -> int:
        return self.position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self.size is not None

    def close(self) -> None:
        self._disconnect()
        super().close()

    def _persistently(self, act: Callable[[], T]) -> T:
        """What `act` returns, tried again after longer and longer waits while the network fails."""
        reason: object = None
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
            try:
                return act()
            except (OSError, http.client.HTTPException) as error:
                self._disconnect()
                self._raise_if_final(error)
                reason = getattr(error, "reason", None) or error
        raise GroundupError(
            f"the server cannot be reached or breaks off, {ATTEMPTS} times in a row: {reason}",
            self.where, "check the network and run again",
        )  # fmt: skip

    def _raise_if_final(self, error: Exception) -> None:
        """Waiting does not help against a file that is not there or not for us."""
        if not isinstance(error, urllib.error.HTTPError):
            return
        error.close()
        if error.code in RETRIED_STATUSES:
            return
        if error.code in (401, 403):
            fix = "check that you may read it; for Hugging Face, set HF_TOKEN"
        else:
            fix = "check the address"
        what = f"the server answers {error.code} {error.reason}"
        raise InputError(what, self.where, fix) from error

    def _receive(self, buffer: Any) -> int:
        if self._response is None:
            self._response = self._connect()
        count = self._response.readinto(buffer)
        if not count and self.size is not None:
            raise ConnectionError(f"the connection ended at byte {self.position} of {self.size}")
        return count

    def _connect(self) -> Any:
        """Ask for the file from `position` on. `If-Range` makes a server whose file has changed
        send it from the beginning, as one without ranges does."""
        request = urllib.request.Request(self.url, headers={"User-Agent": "groundup"})
        if self.token:  # left out when the server sends us on to another one
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        if self.position:
            request.add_header("Range", f"bytes={self.position}-")
            if self.tag and not self.tag.startswith("W/"):
                request.add_header("If-Range", self.tag)
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
        self._check_unchanged(response.headers)
        if response.status != 206:
            length = response.headers["Content-Length"]
            self.size = int(length) if length else None
            self._skip(response)
        return response

    def _check_unchanged(self, headers: Any) -> None:
        tag = headers["ETag"]
        if self.tag and tag and tag != self.tag:
            what = "the file changed on the server while it was read"
            raise GroundupError(what, self.where, "run again")
        self.tag = self.tag or tag

    def _skip(self, response: Any) -> None:
        """Pass over what was read before, where the server knows no ranges."""
        left = self.position
        while left:
            received = len(response.read(min(left, READ_AHEAD_BYTES)))
            if not received:
                raise ConnectionError(f"the connection ended before byte {self.position}")
            left -= received

    def _disconnect(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
