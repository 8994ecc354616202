"""Connections to a service of AWS that are kept open, for half the instructions of urllib3's pool.

They are those of Python's own library. What urllib3 adds to them, such as redirects, retries and decompression, these
calls do not use: botocore's retries decide what a failure means.
"""

from __future__ import annotations

import weakref
from collections import deque
from functools import partial
from http.client import HTTPConnection, HTTPSConnection
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from urllib3.util import wait_for_read

from .tls import default_ssl_context

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.client import HTTPMessage


class KeptAnswer(NamedTuple):
    """As much of botocore's answer as is looked at.

    Parameters
    ----------
    status_code : int
        HTTP status.
    headers : HTTPMessage
        Headers, by names in any case.
    content : bytes
        The body.
    """

    status_code: int
    headers: HTTPMessage
    content: bytes


class KeptConnections:
    """Connections to one server. Safe to share between threads.

    Parameters
    ----------
    url : str
        ``http(s)://host[:port]``.
    connect_timeout, read_timeout : float
        Seconds for a connection with its TLS, and for each piece of an answer.
    size : int
        The most that are kept while nobody uses them.
    """

    def __init__(self, url: str, *, connect_timeout: float, read_timeout: float, size: int) -> None:
        server = urlsplit(url)
        self._make: Callable[[], HTTPConnection] = partial(HTTPConnection, server.netloc, timeout=connect_timeout)
        if server.scheme == "https":
            # One context for all connections, those to Cube too: reading the certificates takes longer than many
            # messages.
            self._make = partial(HTTPSConnection, server.netloc, timeout=connect_timeout, context=default_ssl_context())
        self._read_timeout = read_timeout
        self._size = size
        self._idle: deque[HTTPConnection] = deque()
        weakref.finalize(self, _close_all, self._idle)

    def post(self, headers: Mapping[str, str], body: bytes) -> KeptAnswer:
        """Post once.

        Parameters
        ----------
        headers : Mapping[str, str]
            Sent as they are, the host's name among them.
        body : bytes
            Sent as it is.

        Returns
        -------
        KeptAnswer
            Whatever its status.

        Raises
        ------
        OSError, http.client.HTTPException
            If there is no whole answer.
        """
        connection = self._take()
        try:
            if connection.sock is None:
                self._open(connection)
            connection.request("POST", "/", body, headers)
            response = connection.getresponse()
            answer = KeptAnswer(response.status, response.headers, response.read())
        except BaseException:
            connection.close()
            raise
        if len(self._idle) < self._size:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def _open(self, connection: HTTPConnection) -> None:
        connection.connect()
        connection.sock.settimeout(self._read_timeout)

    def _take(self) -> HTTPConnection:
        """Return the connection that was used last, if nobody has closed it since, or a new one."""
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._make()
        # There is nothing to read but the end of it, or an answer that nobody asked for.
        if connection.sock is not None and wait_for_read(connection.sock, timeout=0.0):
            connection.close()
        return connection


def _close_all(idle: deque[HTTPConnection]) -> None:
    while idle:
        idle.pop().close()
