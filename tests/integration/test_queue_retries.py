"""The handler of the send queue: messages that have to be tried again, and what the queue learns of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery.states import State
from cube_sms.request.parsing import parse_send_request
from tests.integration.deployment import MAX_ATTEMPTS
from tests.integration.wire import FAILURE, Wire, answer
from tests.support import Context, load_event, queue_event

if TYPE_CHECKING:
    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment

OUTAGE = "89314404000939952250"
MESSAGE = {"deviceId": OUTAGE, "content": "Wake up"}

# What the first delay is at most: the base of the backoff, rounded up.
FIRST_DELAY = 2.0
LONGEST_BACKOFF = 15 * 60


def posted(gateway: Deployment, event: dict[str, Any], attempts: int) -> None:
    """Leave the record of a message that was posted some times and is to be tried again."""
    (record,) = event["Records"]
    store = gateway.store()
    claim = store.claim(parse_send_request(record["body"].encode()))
    store.finish(claim.record, State.RETRYING, attempts=attempts)


def ids(event: dict[str, Any]) -> list[str]:
    return [record["messageId"] for record in event["Records"]]


@pytest.mark.parametrize(
    ("fault", "posts"),
    [
        ("status:503+0", 1),
        ("status:503+none", 1),
        ("status:502", 1),
        ("status:500", 1),
        ("status-after:504", 1),
        ("lost", 1),
        ("garbage", 1),
        ("redirect", 1),
        ("status:401", 2),
        ("status:403", 2),
    ],
)
def test_message_that_can_be_tried_again_is_hidden_for_a_moment(
    cube: CubeSimulator, gateway: Deployment, fault: str, posts: int
) -> None:
    # Given
    event = gateway.deliver(load_event("sqs-provider-outage"))
    cube.configure(device_faults={OUTAGE: fault})
    # When
    failures = gateway.consume(event)
    # Then
    assert failures == ids(event)
    assert cube.stats()["received"] == posts
    assert max(gateway.hidden()) <= FIRST_DELAY * 2 ** (posts - 1)
    assert gateway.dead_letters() == []


def test_outage_that_ends_ends_with_a_message_sent(cube: CubeSimulator, gateway: Deployment) -> None:
    # Given a provider that is unavailable for two attempts, when the queue delivers the message after each failure
    event = gateway.deliver(load_event("sqs-provider-outage"))
    cube.configure(device_faults={OUTAGE: "status:503*2"})
    failures = []
    for receives in ("1", "2", "3"):
        event["Records"][0]["attributes"]["ApproximateReceiveCount"] = receives
        failures.append(gateway.consume(event))
    # Then
    assert failures == [ids(event), ids(event), []]
    assert [request["accepted"] for request in cube.requests(OUTAGE)] == [False, False, True]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [(None, -60, FIRST_DELAY), ("600", 540, 600 + FIRST_DELAY), ("86400", 11 * 3600, 12 * 3600)],
    ids=["no time", "ten minutes", "more than SQS can"],
)
def test_time_the_provider_asks_to_wait_is_waited(
    gateway: Deployment, status: int, retry_after: str | None, least: float, most: float
) -> None:
    # Given a provider that asks for a time
    event = gateway.deliver(load_event("sqs-text"))
    headers = {} if retry_after is None else {"Retry_After": retry_after}
    with Wire(answer(FAILURE, status, **headers)) as wire:
        gateway.configure(CUBE_BASE_URL=wire.url)
        # When
        failures = gateway.consume(event)
    # Then the message is hidden for as long, or for as long as SQS can
    assert failures == ids(event)
    assert least < gateway.hidden()[0] <= most
    assert retry_after is None or gateway.in_flight() == 1


def test_delay_grows_with_the_attempts_and_has_an_end(cube: CubeSimulator, gateway: Deployment) -> None:
    # Given messages that have been posted some times, whatever SQS says of how often they were received
    gateway.configure(MAX_ATTEMPTS="1000")
    cube.configure(faults={"status:503+0": 1.0})
    delays = []
    for attempts in (2, 5, 30, 999):
        event = gateway.deliver(queue_event(MESSAGE | {"requestId": f"order-{attempts}"}), receives=1001 - attempts)
        posted(gateway, event, attempts - 1)
        # When
        assert gateway.consume(event) == ids(event)
        # Then
        delays.append(gateway.hidden()[-1])
        assert gateway.record(f"order-{attempts}").attempts == attempts
    assert delays[0] <= 4
    assert delays[1] <= 32
    assert max(delays) <= LONGEST_BACKOFF


@pytest.mark.parametrize(
    ("fault", "attributes"),
    [
        ("status:503", {"attempts": "3", "detail": "HTTP 503"}),
        ("status:429", {"attempts": "3", "detail": "HTTP 429", "lastCode": "9429"}),
        ("lost", {"attempts": "3"}),
    ],
)
def test_message_whose_attempts_are_used_up_goes_to_the_dead_letter_queue(
    cube: CubeSimulator, gateway: Deployment, fault: str, attributes: dict[str, str]
) -> None:
    # Given a message that has been posted as often as it may be but once
    event = gateway.deliver(load_event("sqs-provider-outage"))
    posted(gateway, event, MAX_ATTEMPTS - 1)
    cube.configure(device_faults={OUTAGE: fault})
    # When
    failures = gateway.consume(event)
    # Then
    (dead_letter,) = gateway.dead_letters()
    expected = {"requestId": "order-7788-wakeup", "reason": "AttemptsUsedUp", **attributes}
    assert failures == []
    assert dead_letter.body == event["Records"][0]["body"]
    assert expected.items() <= dead_letter.attributes.items()


def test_missing_secret_is_tried_again_without_a_post(cube: CubeSimulator, gateway: Deployment) -> None:
    gateway.configure(CUBE_SECRET_ID="cube-sms/other")
    event = gateway.deliver(load_event("sqs-batch"))
    assert gateway.consume(event) == ids(event)
    assert cube.stats()["received"] == 0
    assert max(gateway.hidden()) <= FIRST_DELAY


@pytest.mark.parametrize("warm", [False, True])
def test_batch_in_which_everything_fails_does_not_raise(cube: CubeSimulator, gateway: Deployment, warm: bool) -> None:
    if warm:
        assert gateway.consume(load_event("sqs-text")) == []
    event = gateway.deliver(load_event("sqs-batch"))
    cube.configure(faults={"status:503": 1.0})
    assert gateway.consume(event) == ids(event)


@pytest.mark.parametrize("warm", [False, True])
def test_one_bad_record_never_fails_the_others(cube: CubeSimulator, gateway: Deployment, warm: bool) -> None:
    # Given a batch with a record of each bad kind between good ones
    if warm:
        assert gateway.consume(load_event("sqs-text")) == []
        cube.reset()
    invalid, outage = load_event("sqs-invalid")["Records"][0], load_event("sqs-provider-outage")["Records"][0]
    unknown, bodiless = load_event("sqs-unknown-device")["Records"][0], load_event("sqs-binary")["Records"][0]
    del bodiless["body"]
    good = load_event("sqs-batch")["Records"]
    cube.configure(unknown_devices=["89314404000939952299"], device_faults={OUTAGE: "status:503"})
    # When
    failures = gateway.consume({"Records": [good[0], invalid, good[1], outage, bodiless, good[2], unknown, good[3]]})
    # Then the good ones are sent, and those that can be tried again stay, although the queue knows nothing of them
    assert failures == [outage["messageId"], bodiless["messageId"]]
    assert cube.stats()["accepted"] == 4
    assert [dead_letter.attributes["reason"] for dead_letter in gateway.dead_letters()] == ["InvalidRequest"]


def test_message_that_cannot_be_put_onto_the_dead_letter_queue_stays(gateway: Deployment) -> None:
    gateway.sqs.delete_queue(QueueUrl=gateway.dead_letter_queue)
    event = load_event("sqs-invalid")
    assert gateway.consume(event) == ids(event)


def test_without_enough_time_everything_is_handed_back(cube: CubeSimulator, gateway: Deployment) -> None:
    # Given less time than one message may take, and more messages than SQS takes in one call
    records = [record for _ in range(3) for record in load_event("sqs-batch")["Records"]]
    event = gateway.deliver({"Records": records})
    assert gateway.in_flight() == 15
    # When
    failures = gateway.consume(event, Context(20.0))
    # Then nothing was posted, and all of it can be received at once
    assert sorted(failures) == sorted(ids(event))
    assert cube.stats()["received"] == 0
    assert max(gateway.hidden()) <= 0
    assert len(gateway.queued()) == 10


@pytest.mark.parametrize("workers", ["1", "4"])
def test_what_there_is_no_more_time_for_is_handed_back(cube: CubeSimulator, gateway: Deployment, workers: str) -> None:
    # Given time for two messages
    gateway.configure(QUEUE_SEND_CONCURRENCY=workers)
    event = gateway.deliver(load_event("sqs-batch"))
    # When
    failures = gateway.consume(event, Context(30.0, 30.0, 25.0, 5.0))
    # Then two are sent, and the rest can be received at once
    bodies = {record["messageId"]: record["body"] for record in event["Records"]}
    assert (len(failures), cube.stats()["accepted"]) == (3, 2)
    assert sorted(gateway.queued()) == sorted(bodies[failure] for failure in failures)
    sent = {request["deviceId"] for request in cube.requests()}
    assert sent.isdisjoint(json.loads(bodies[failure])["deviceId"] for failure in failures)


def test_handing_back_to_a_queue_that_is_gone_does_not_raise(gateway: Deployment) -> None:
    event = gateway.deliver(load_event("sqs-batch"))
    gateway.sqs.delete_queue(QueueUrl=gateway.send_queue)
    assert gateway.consume(event, Context(0.0)) == ids(event)


def test_batch_without_records_is_no_failure(gateway: Deployment) -> None:
    assert gateway.consume({"Records": []}) == []
