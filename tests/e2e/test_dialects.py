"""One stack with accounts of both dialects: real queue, real API, and the provider's request log as the judge."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from local.stack import ACCESS_CODE, V4_ACCOUNT, V4_KEY_ID, LocalStack, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SENDERS = {"default": ACCESS_CODE, V4_ACCOUNT: V4_KEY_ID}


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """Return a stack whose functions may do what their roles allow, within the provider's limits."""
    with LocalStack(authenticate=True) as stack:
        yield stack


def request(account: str, **fields: Any) -> dict[str, Any]:
    number = uuid4().int % 10**16
    return {"account": account, "deviceId": f"8931{number:016d}", "content": "Report, please", **fields}


def test_both_are_sent_from_the_queue(stack: LocalStack) -> None:
    # When messages of both accounts are on the queue
    requests = [request(account) for account in [*SENDERS] * 3]
    for each in requests:
        stack.enqueue(json.dumps(each))
    # Then each was accepted once, from the account of that dialect
    wait_until("all to be accepted", lambda: all(stack.cube.requests(each["deviceId"]) for each in requests))
    posts = {each["deviceId"]: stack.cube.requests(each["deviceId"]) for each in requests}
    for each in requests:
        (post,) = posts[each["deviceId"]]
        assert (post["accepted"], post["accessCode"]) == (True, SENDERS[each["account"]])
        assert bool(post["jobId"]) is (each["account"] == V4_ACCOUNT)
    # And both together kept to the provider's limits
    stats = stack.cube.stats()
    assert stats["refused"] == {}
    assert stats["highestConcurrency"] <= 3


def test_both_are_sent_over_the_api(stack: LocalStack) -> None:
    for account, sender in SENDERS.items():
        body = request(account)
        answer = stack.call_api("POST", "/messages", json.dumps(body))
        assert (answer.status, answer.body["state"]) == (200, "SENT")
        assert [post["accessCode"] for post in stack.cube.requests(body["deviceId"])] == [sender]


def test_several_texts_are_a_dead_letter_of_the_account_that_takes_one(stack: LocalStack) -> None:
    body = request(V4_ACCOUNT, smsContentList=[{"smsTemplateContent": "One"}, {"smsTemplateContent": "Two"}])
    del body["content"]
    stack.enqueue(json.dumps(body))
    (letter,) = wait_until("a dead letter", stack.dead_letters)
    assert letter["reason"] == "InvalidRequest"
    assert letter["detail"].startswith("smsContentList: ")
    assert stack.cube.requests(body["deviceId"]) == []
