"""The client of Cube, over a socket: the result of each kind of failure."""

from __future__ import annotations

import contextlib
import socket
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.provider.base import (
    CubeError,
    CubeOutcomeUnknown,
    CubeThrottled,
    CubeUnavailable,
)
from tests.integration.failures import FAILURES
from tests.integration.wire import FAILURE, SUCCESS, Wire, answer
from tests.support import DEVICE, post, send_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cube_sms.provider.csss.client import CubeClient
    from cube_sms.request.models import SendRequest
    from local.cube_simulator import CubeSimulator

# Generous: what a busy machine may add to a time that is bounded.
MARGIN = 5.0


def failure(client: CubeClient, request: SendRequest | None = None) -> CubeError:
    with pytest.raises(CubeError) as caught:
        post(client, request or send_request())
    return caught.value


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds + MARGIN


@pytest.mark.parametrize(
    ("fault", "error", "status", "connections"),
    [
        *FAILURES,
        ("status-after:502", CubeOutcomeUnknown, 502, 1),
        ("status-after:503", CubeOutcomeUnknown, 503, 1),
    ],
)
def test_each_failure_is_told_and_the_next_message_is_sent(
    cube: CubeSimulator,
    connect: Callable[..., CubeClient],
    fault: str,
    error: type[CubeError],
    status: int | None,
    connections: int,
) -> None:
    # Given a provider that fails once
    cube.configure(device_faults={DEVICE: f"{fault}*1"})
    client = connect(cube.url)
    # When
    caught = failure(client)
    # Then there was one POST, and nothing came after it
    assert (type(caught), caught.status) == (error, status)
    assert 0 < caught.latency < 20
    assert cube.stats()["received"] == 1
    # And the client works as before, on the same connection if the answer was whole
    assert post(client, send_request()).code == "0000"
    assert cube.stats()["connections"] == connections


@pytest.mark.parametrize("status", [429, 500, 502, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("999999999", 999_999_999.0),
        (formatdate(1_800_000_042, usegmt=True), 42.0),
        (formatdate(1_799_999_000, usegmt=True), 0.0),
        (None, None),
        ("", None),
        ("-7", None),
        ("soon", None),
        ("1e3", None),
        ("\u0667", None),
        ("9" * 400, None),
        ("Mon, 99 Foo 2027 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_read_in_seconds_and_as_a_date(
    connect: Callable[..., CubeClient], status: int, value: str | None, seconds: float | None
) -> None:
    headers = {} if value is None else {"Retry_After": value}
    with Wire(answer(FAILURE, status, **headers)) as wire:
        caught = failure(connect(wire.url, clock=lambda: 1_800_000_000.0))
    assert caught.retry_after == seconds
    # And only a time that can be read says that nothing was processed
    is_told = status == 503 and seconds is not None
    assert isinstance(caught, CubeThrottled if status == 429 else CubeUnavailable if is_told else CubeOutcomeUnknown)


@pytest.mark.parametrize(("form", "known"), [("seconds", True), ("date", True), ("none", False)])
def test_retry_after_of_a_rate_limit(
    cube: CubeSimulator, connect: Callable[..., CubeClient], form: str, known: bool
) -> None:
    # Given a provider that allows no second query today
    cube.configure(quota=1, retry_after=form)
    client = connect(cube.url)
    post(client, send_request())
    # When
    caught = failure(client)
    # Then
    assert isinstance(caught, CubeThrottled)
    assert (caught.retry_after is not None) is known
    assert 0 <= (caught.retry_after or 0) <= 24 * 3600 + 1


@pytest.mark.parametrize("fault", ["delay:60", "trickle:0.2"])
def test_answer_that_is_late_leaves_the_outcome_unknown_in_bounded_time(
    cube: CubeSimulator, connect: Callable[..., CubeClient], fault: str
) -> None:
    # Given an answer that takes far longer than the time for it, whether it trickles in or not
    cube.configure(device_faults={DEVICE: fault})
    client = connect(cube.url, read_timeout=0.5)
    # When
    with at_most(0.5):
        caught = failure(client)
    # Then, although the provider has accepted it
    assert isinstance(caught, CubeOutcomeUnknown)
    assert cube.stats()["accepted"] == 1


def test_body_that_trickles_is_cut_by_the_same_deadline(connect: Callable[..., CubeClient]) -> None:
    # Given an answer whose head comes at once and whose body never ends
    with Wire(answer(SUCCESS, Content_Length="1000")) as wire, at_most(0.5):
        caught = failure(connect(wire.url, read_timeout=0.5))
    assert isinstance(caught, CubeOutcomeUnknown)


def test_answer_that_trickles_in_time_is_an_answer(cube: CubeSimulator, connect: Callable[..., CubeClient]) -> None:
    cube.configure(device_faults={DEVICE: "trickle:0.001"})
    assert post(connect(cube.url), send_request()).code == "0000"


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\r\n\r\n",
        b"nonsense",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 20\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200 + b"\r\n",
        answer(b"\x1f\x8bnot gzip", Content_Encoding="gzip"),
        answer(b'\xff{"code":"0000","success":true}'),
        answer(b"[" * 60_000),
        answer(b"null"),
        answer([SUCCESS]),
        answer(b""),
        answer(SUCCESS, Content_Length="1000"),
    ],
    ids=lambda broken: repr(broken[-40:]),
)
def test_answer_that_is_none_leaves_the_outcome_unknown(connect: Callable[..., CubeClient], broken: bytes) -> None:
    with Wire(broken, hang_up=True) as wire:
        assert type(failure(connect(wire.url))) is CubeOutcomeUnknown


def test_refused_connection_is_unavailable(connect: Callable[..., CubeClient]) -> None:
    # Given a port where nothing listens any more
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert type(failure(connect(f"http://127.0.0.1:{port}"))) is CubeUnavailable


def test_host_without_an_address_is_unavailable(connect: Callable[..., CubeClient]) -> None:
    assert type(failure(connect("https://cube.invalid"))) is CubeUnavailable


@contextlib.contextmanager
def deaf(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Run a server that accepts no connection, since its queue of connections is full, and yield its port."""
    with socket.create_server((host, port), backlog=0) as server, contextlib.ExitStack() as waiting:
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def resolve_localhost(to: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the name localhost stand for these addresses, in this order."""
    resolve = socket.getaddrinfo

    def resolve_one(host: str, port: int, *options: Any) -> Any:
        hosts = to if host == "localhost" else [host]
        return [found for each in hosts for found in resolve(each, port, *options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve_one)


@pytest.mark.parametrize("addresses", [1, 40])
def test_connection_that_takes_too_long_is_unavailable(
    connect: Callable[..., CubeClient], monkeypatch: pytest.MonkeyPatch, addresses: int
) -> None:
    # Given a host whose addresses accept no connection
    resolve_localhost(["127.0.0.1"] * addresses, monkeypatch)
    # When all of them together have the time of one
    with deaf() as port, at_most(0.5):
        caught = failure(connect(f"http://localhost:{port}", connect_timeout=0.5))
    # Then
    assert type(caught) is CubeUnavailable


def test_address_that_does_not_answer_leaves_time_for_the_next(
    connect: Callable[..., CubeClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a host of two addresses, the first of which accepts no connection
    resolve_localhost(["127.0.0.2", "127.0.0.1"], monkeypatch)
    with Wire(answer()) as wire, deaf("127.0.0.2", wire.port):
        client = connect(f"http://localhost:{wire.port}", connect_timeout=1.0)
        # Then the second gets the message
        assert post(client, send_request()).code == "0000"
