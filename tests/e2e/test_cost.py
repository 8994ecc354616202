"""What a message costs in DynamoDB, counted on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.verdicts import SENT_ONCE, Message, verdicts, wait_until_the_queue_is_empty

if TYPE_CHECKING:
    from tests.e2e.aws_proxy import Proxied


def test_a_message_costs_two_writes_and_no_read_of_its_own(proxied: Proxied) -> None:
    stack, proxy = proxied
    from_queue, through_api = [Message.make() for _ in range(30)], [Message.make() for _ in range(10)]
    before = proxy.counts.copy()

    # When messages are sent through queue and API
    for message in from_queue:
        stack.enqueue(message.json)
    for message in through_api:
        assert stack.call_api("POST", "/messages", message.json).status == 200
    wait_until_the_queue_is_empty(stack)

    # Then each has cost a claim and a final write, and DynamoDB was asked for nothing else
    found = verdicts(stack, [*from_queue, *through_api])
    assert {verdict.ending for verdict in found} == {SENT_ONCE}
    spent = proxy.counts - before
    spent.pop("GetSecretValue", None)
    # Without limits, each worker looks for a pause every two seconds at most (tests/unit/test_pausing.py).
    spent.pop("GetItem", None)
    assert spent == {"UpdateItem": 2 * len(found)}
