"""What the tests of the API's replies share: a request, and what makes a reply a problem."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cube_sms.request.parsing import parse_send_request

if TYPE_CHECKING:
    from cube_sms.platform import Reply

ICCID = "89314404000939952215"
CONTENT = "Zebra content"
SECRET_NAME = "prod/cube-sms/credentials"
REQUEST = parse_send_request(
    b'{"requestId": "order-1", "account": "fleet-2", "deviceId": "89314404000939952215", "content": "Zebra content"}'
)
NOW = 1_800_000_000.0
IDENTITY = {"requestId": "order-1", "account": "fleet-2"}


def assert_problem(reply: Reply, status: int) -> None:
    assert reply.status == status
    assert reply.content_type == "application/problem+json"
    assert reply.body["status"] == status
    assert reply.body["title"]
    assert reply.body["detail"]
    assert "type" not in reply.body
    assert None not in reply.body.values()
    assert_tells_nothing_sensitive(reply)


def assert_tells_nothing_sensitive(reply: Reply) -> None:
    told = json.dumps([reply.body, reply.headers])
    assert ICCID not in told
    assert CONTENT not in told
    assert SECRET_NAME not in told
