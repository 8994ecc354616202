"""A worker of the send queue in the deployment, whose clock and pauses are the test's."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import boto3

from cube_sms.delivery.records import RecordStore
from cube_sms.delivery.sending import Sender
from cube_sms.pacing.gate import Gate
from cube_sms.platform.aws import AWS_CONFIG
from cube_sms.platform.settings import Settings
from cube_sms.provider.credentials import CredentialStore
from cube_sms.provider.dialects import make_provider
from cube_sms.queue.consumer import QueueConsumer
from tests.integration.deployment import LEASE, MAX_ATTEMPTS, SECRET_ID, TABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from cube_sms.queue.messages import Consumed


class Worker:
    """A worker with a clock that the test moves, and with a list of its own pauses."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
        lease: float = LEASE,
    ) -> None:
        settings = Settings.from_environment(os.environ)
        self.provider = make_provider(settings, 1)
        self.pauses: list[float] = []
        dynamodb = boto3.client("dynamodb", config=AWS_CONFIG)
        sender = Sender(
            self.provider,
            CredentialStore(boto3.client("secretsmanager", config=AWS_CONFIG), SECRET_ID),
            RecordStore(dynamodb, TABLE, lease=lease, retention=86400.0, clock=clock),
            Gate(dynamodb, TABLE, qps=0, quota=0, longest_post=self.provider.longest_post),
            max_attempts=MAX_ATTEMPTS,
            clock=clock,
            monotonic=monotonic,
            sleep=sleep or self.pauses.append,
        )
        self._consumer = QueueConsumer(sender, boto3.client("sqs", config=AWS_CONFIG), settings, clock=clock)

    def consume(self, event: dict[str, Any]) -> Consumed:
        """Consume an event's only message."""
        (consumed,) = self.consume_all(event)
        return consumed

    def consume_all(self, event: dict[str, Any]) -> list[Consumed]:
        """Consume an event's messages, none of which has a fault."""
        consumed = list(self._consumer.consume(event["Records"], lambda: 300.0))
        assert [each.fault for each in consumed] == [None] * len(consumed)
        return consumed
