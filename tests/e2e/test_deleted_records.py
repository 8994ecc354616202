"""A record that somebody deletes while its message is being posted, on the local stack."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from local.stack import wait_until
from local.workflows import EventConsumer
from tests.e2e.aws_proxy import FINISH, AwsCall, Rule
from tests.e2e.test_send import a_device, send_request, wait_for_states

if TYPE_CHECKING:
    from tests.e2e.aws_proxy import Proxied


@pytest.mark.parametrize("delivery", ["at-least-once", "at-most-once"])
def test_message_is_not_sent_again(proxied: Proxied, delivery: str) -> None:
    # Given a message whose record is deleted after its POST and before its last write
    stack, proxy = proxied
    since = time.time() * 1000
    consumer = EventConsumer(stack, {"source": ["cube-sms"]})
    device, request_id = a_device(), f"deleted-{uuid4()}"
    key = {"messageId": {"S": f"default#{request_id}"}}
    body = send_request(device, requestId=request_id, delivery=delivery)

    def delete(call: AwsCall) -> None:
        if call.message_id == f"default#{request_id}" and call.n == 1:
            stack.aws.client("dynamodb").delete_item(TableName=stack.outputs["MessagesTableName"], Key=key)

    # When it is sent, and comes again
    with proxy.applying(Rule(FINISH, delete)):
        stack.enqueue(body)
        wait_for_states(stack, request_id, ["SENT"])
    stack.enqueue(body)
    wait_for_states(stack, request_id, ["SENT", "SENT"])

    # Then it was sent once, its record and its event say so, and so does the log
    assert len(stack.cube.requests(device)) == 1
    item = stack.aws.client("dynamodb").get_item(TableName=stack.outputs["MessagesTableName"], Key=key)["Item"]
    assert (item["state"], item["possiblyDuplicated"]) == ({"S": "SENT"}, {"BOOL": False})
    wait_until("its event", lambda: consumer.details(request_id))
    wait_until(
        "its metric",
        lambda: any("RecordsDamaged" in emf and emf["_aws"]["Timestamp"] >= since for emf in stack.metrics()),
    )
