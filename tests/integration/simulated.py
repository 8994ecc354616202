"""The simulator on a thread of this process, with a clock that only the test moves."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from local.cube_simulator.config import Config
from local.cube_simulator.cube import Cube
from local.cube_simulator.limits import Clock
from local.cube_simulator.server import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The time of the provider's own example.
NOW = 1643253530


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def request(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    connection.request(method, target, body, headers or {})
    answer = connection.getresponse()
    return Answer(answer.status, answer.headers, answer.read())


@dataclass
class Simulated:
    """The simulator."""

    port: int = 0
    now: float = NOW

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Self]:
        """Run one with its default settings."""
        handle = cls()
        ready = threading.Event()
        stop: list[Callable[[], object]] = []

        async def run() -> None:
            stopped = asyncio.Event()
            loop = asyncio.get_running_loop()
            cube = Cube(Config(), seed=7, clock=Clock(wall=lambda: handle.now, monotonic=lambda: handle.now))
            server, url = await serve(cube, "127.0.0.1", 0)
            handle.port = int(url.rpartition(":")[2])
            stop.append(lambda: loop.call_soon_threadsafe(stopped.set))
            ready.set()
            await stopped.wait()
            server.close()
            server.abort_clients()
            await server.wait_closed()

        thread = threading.Thread(target=asyncio.run, args=(run(),))
        thread.start()
        assert ready.wait(30)
        yield handle
        stop[0]()
        thread.join(30)
        assert not thread.is_alive()

    def connect(self) -> contextlib.closing[http.client.HTTPConnection]:
        return contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30))

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def call(self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        with self.connect() as connection:
            content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            return request(connection, method, target, content, headers)

    def configure(self, **changes: Any) -> None:
        answer = self.call("PUT", "/_config", changes)
        assert answer.status == 200, answer.body

    def stats(self) -> Any:
        return self.call("GET", "/_stats").json

    def requests(self, query: str = "") -> Any:
        return self.call("GET", f"/_requests{query}").json
