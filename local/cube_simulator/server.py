"""The simulator's sockets: HTTP/1.1 with h11, and the transport beneath it for answers that break the rules."""

import asyncio
import itertools
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import h11

from local.cube_simulator.answers import CLOSE, Answer, as_json
from local.cube_simulator.cube import Cube
from local.cube_simulator.request import Request

if TYPE_CHECKING:
    from local.cube_simulator.books import Query

MAX_BODY = 1024 * 1024
_numbers = itertools.count(1)


class Connection(asyncio.Protocol):
    """One connection: reads requests one by one, and delivers each answer in its manner."""

    _transport: asyncio.Transport

    def __init__(self, cube: Cube) -> None:
        self._cube = cube
        self._number = next(_numbers)
        self._http = h11.Connection(h11.SERVER)
        self._head: h11.Request | None = None
        self._body = bytearray()
        # A connection waits for one thing at a time: to have been idle too long, or for the time to write.
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._query: Query | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        self._transport = cast("asyncio.Transport", transport)
        self._wait(self._cube.config.keep_alive, self._transport.close)

    def data_received(self, data: bytes) -> None:
        """Read on, unless an answer is under way: h11 keeps what a client sends ahead."""
        self._http.receive_data(data)
        self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up what is under way."""
        if self._timer:
            self._timer.cancel()
        self._finish()
        self._cube.close(self._number)

    def _read(self) -> None:
        try:
            while not self._busy:
                match self._http.next_event():
                    case h11.Request() as head:
                        self._head, self._body = head, bytearray()
                    case h11.Data(data=data):
                        self._body += data
                        if len(self._body) > MAX_BODY:
                            raise h11.RemoteProtocolError("body too large", error_status_hint=413)
                    case h11.EndOfMessage():
                        self._answer(cast("h11.Request", self._head))
                    case _:
                        break
            if self._http.they_are_waiting_for_100_continue:
                proceed = h11.InformationalResponse(status_code=100, headers=[])
                self._transport.write(self._http.send(proceed) or b"")
        except h11.RemoteProtocolError as error:
            if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                self._transport.write(self._wire(as_json(error.error_status_hint, {"error": str(error)}, (CLOSE,))))
            self._transport.close()

    def _answer(self, head: h11.Request) -> None:
        self._busy = True
        request = Request(
            method=head.method.decode(),
            target=head.target.decode(),
            headers={name.decode(): value.decode("latin-1") for name, value in head.headers},
            body=bytes(self._body),
            connection=self._number,
        )
        answer, self._query = self._cube.handle(request)
        if answer.pause:
            self._wait(answer.pause, self._deliver_and_read, answer)
        else:
            self._deliver(answer)

    def _deliver_and_read(self, answer: Answer) -> None:
        self._deliver(answer)
        self._read()

    def _deliver(self, answer: Answer) -> None:
        if answer.delivery == "reset":
            # A socket that lingers for no time at all is closed with RST in place of FIN.
            lingering = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)
            self._transport.abort()
            return
        if answer.delivery == "close":
            self._transport.close()
            return
        if self._query:
            self._query.note(status=answer.status)
        wire = self._wire(answer)
        if answer.delivery == "trickle":
            self._trickle(wire, answer.step)
        elif answer.delivery == "truncated":
            self._transport.write(wire[: len(wire) - len(answer.body) // 2])
            self._transport.close()
        else:
            self._transport.write(wire)
            self._end()

    def _trickle(self, wire: bytes, step: float) -> None:
        self._transport.write(wire[:1])
        if len(wire) > 1:
            self._wait(step, self._trickle, wire[1:], step)
        else:
            self._end()
            self._read()

    def _end(self) -> None:
        """Get ready for the next request once an answer is written whole."""
        self._finish()
        if self._http.our_state is h11.MUST_CLOSE:
            self._transport.close()
        else:
            self._http.start_next_cycle()
            self._busy = False
            self._wait(self._cube.config.keep_alive, self._transport.close)

    def _finish(self) -> None:
        if self._query:
            self._cube.finish(self._query)
            self._query = None

    def _wait[*Arguments](self, seconds: float, then: Callable[[*Arguments], object], *arguments: *Arguments) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, then, *arguments)

    def _wire(self, answer: Answer) -> bytes:
        headers = [*answer.headers]
        if answer.status not in (204, 304):
            headers.append(("Content-Length", str(len(answer.body))))
        parts = [self._http.send(h11.Response(status_code=answer.status, headers=headers))]
        if self._head is None or self._head.method != b"HEAD":
            parts.append(self._http.send(h11.Data(data=answer.body)))
        parts.append(self._http.send(h11.EndOfMessage()))
        return b"".join(part or b"" for part in parts)


async def serve(cube: Cube, host: str, port: int) -> tuple[asyncio.Server, str]:
    """Listen on a loopback address, and return the server and its URL."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(cube), host, port)
    address = server.sockets[0].getsockname()
    return server, f"http://[{address[0]}]:{address[1]}" if ":" in host else f"http://{address[0]}:{address[1]}"
