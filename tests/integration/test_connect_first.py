"""A handshake that takes a while: the worker checks after it if a message may still be sent."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery.states import State
from cube_sms.platform.tls import default_ssl_context
from local.gate_model import busiest_window
from tests.integration.deployment import LEASE
from tests.integration.wire import Wire, answer, self_signed
from tests.integration.worker import Worker
from tests.support import DEVICE, queue_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.deployment import Deployment
    from tests.support import Clock

MESSAGE = {"deviceId": DEVICE, "content": "Wake up"}


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], None]], Wire]]:
    """Make providers whom the functions trust, and that do something before each handshake."""
    tls, _ = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    default_ssl_context.cache_clear()
    yield lambda before: Wire(answer(), tls=tls, before_handshake=before)
    default_ssl_context.cache_clear()


def test_message_that_expires_while_the_connection_is_opened_is_not_posted(
    gateway: Deployment, serve: Callable[[Callable[[], None]], Wire]
) -> None:
    with serve(lambda: time.sleep(1.5)) as wire:
        gateway.configure(CUBE_BASE_URL=wire.url, CUBE_CONNECT_TIMEOUT="10")
        expires_at = datetime.fromtimestamp(time.time() + 1.0, UTC).isoformat()
        event = queue_event({**MESSAGE, "requestId": "order-1", "expiresAt": expires_at})
        assert gateway.consume(event) == []
        assert wire.requests == []
    record = gateway.record("order-1")
    assert (record.state, record.attempts) == (State.EXPIRED, 0)


def test_worker_that_opens_its_connection_for_longer_than_its_lease_does_not_post(
    gateway: Deployment, clock: Clock, serve: Callable[[Callable[[], None]], Wire]
) -> None:
    # Given a worker that is frozen while it opens its connection
    def freeze() -> None:
        clock.now += LEASE

    with serve(freeze) as wire:
        gateway.configure(CUBE_BASE_URL=wire.url)
        worker = Worker(clock)
        consumed = worker.consume(gateway.deliver(queue_event({**MESSAGE, "requestId": "order-1"})))
        worker.provider.close()
        # Then
        assert (consumed.acknowledged, wire.requests) == (False, [])


@pytest.mark.parametrize("connections", [3, 8])
def test_second_holds_the_limit_however_slowly_connections_are_opened(
    gateway: Deployment, serve: Callable[[Callable[[], None]], Wire], connections: int
) -> None:
    # Given handshakes that take a second and more
    with serve(lambda: time.sleep(1.2)) as wire:
        gateway.configure(
            CUBE_BASE_URL=wire.url,
            CUBE_MAX_QPS="10",
            QUEUE_SEND_CONCURRENCY=str(connections),
            CUBE_CONNECT_TIMEOUT="10",
            # It makes the lease longer: on a slow machine a message may wait long for its slot.
            CUBE_READ_TIMEOUT="120",
        )
        # When a batch is sent
        event: dict[str, Any] = queue_event(*[MESSAGE] * 24)
        # Which comes again with what a slow machine has not done before a batch has to end
        while staying := gateway.consume(event):
            event["Records"] = [record for record in event["Records"] if record["messageId"] in staying]
        # Then no second takes queries of the next; a busy machine may read one late, by up to half a second
        assert len(wire.times) == 24
        assert busiest_window(wire.times, 0.5) <= 10
