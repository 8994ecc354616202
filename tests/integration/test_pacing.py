"""Both handlers at the gate: the provider's limits are kept, and who has to wait learns for how long."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery.states import State
from cube_sms.pacing.gate import Gate
from cube_sms.pacing.gate_item import GATE_KEY
from cube_sms.queue.settling import MAX_INVISIBLE_SECONDS
from local.cube_simulator import CubeSimulator
from local.stack import wait_until
from tests.integration.days import DAY, avoid_midnight, until_tomorrow
from tests.integration.deployment import TABLE
from tests.integration.wire import FAILURE, Wire, answer
from tests.support import ACCESS_CODE, DEVICE, SECRET, Context, queue_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.deployment import ApiAnswer, Deployment
    from tests.support import Printed

MESSAGE = {"deviceId": DEVICE, "content": "Wake up"}

# An outage closes the gate after so many POSTs, for so many seconds at first.
FAILURES = 5
UNAVAILABLE_SECONDS = 5.0

# What a test may take between two looks at the clock.
HASTE = 4.0


def messages(number: int) -> dict[str, Any]:
    """The event of as many new messages."""
    return queue_event(*[MESSAGE] * number)


def ids(event: dict[str, Any]) -> list[str]:
    return [record["messageId"] for record in event["Records"]]


def settle(provider: CubeSimulator) -> dict[str, Any]:
    """Return the provider's counts, and begin new ones when none of its connections is open any more."""
    stats = provider.stats()

    def open_connections() -> int:
        # What is open counts from the start.
        provider.reset()
        return int(provider.stats()["highestConcurrency"])

    # It learns a moment after the client that a connection is closed.
    wait_until("connections to be closed", lambda: open_connections() == 0, timeout=5)
    return stats


def write_gate(gateway: Deployment, **attributes: str | float | None) -> None:
    """Write to the gate's item, as another worker or an operator does; None removes an attribute."""
    changes: Any = {
        name: {"Action": "DELETE"}
        if value is None
        else {"Value": {"S": value} if isinstance(value, str) else {"N": f"{value:.3f}"}}
        for name, value in attributes.items()
    }
    gateway.dynamodb.update_item(TableName=TABLE, Key={"messageId": {"S": GATE_KEY}}, AttributeUpdates=changes)


def let_the_closing_end(gateway: Deployment) -> None:
    """Let the time pass for which the gate is closed, for workers who have not seen how long that was."""
    write_gate(gateway, closedUntil=time.time() - 1)
    gateway.cool_down()


def forget_the_gate(gateway: Deployment) -> None:
    """Let the table and all workers forget the queries until now."""
    gateway.dynamodb.delete_item(TableName=TABLE, Key={"messageId": {"S": GATE_KEY}})
    gateway.cool_down()


def assert_closed(reply: ApiAnswer, status: int, seconds: float) -> None:
    """Assert that a caller has to wait for so many seconds, less what has passed of them."""
    assert (reply.status, reply.headers["Content-Type"]) == (status, "application/problem+json")
    assert (reply.json["state"], reply.json["attempts"]) == ("RETRYING", 0)
    assert math.ceil(seconds - HASTE) <= int(reply.headers["Retry-After"]) <= math.ceil(seconds)


class RunningContext(Context):
    """The context of an invocation whose time passes."""

    def __init__(self, seconds_left: float) -> None:
        super().__init__()
        self._ends_at = time.monotonic() + seconds_left

    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override]  # Powertools has a static method here
        return int((self._ends_at - time.monotonic()) * 1000)


@pytest.fixture(scope="module")
def provider() -> Iterator[CubeSimulator]:
    """Return a provider that allows one connection, and to which only these tests connect."""
    with CubeSimulator(account=f"{ACCESS_CODE}={SECRET}", qps=0, connections=1) as simulator:
        yield simulator


class TestRate:
    @pytest.mark.parametrize("connections", [1, 3])
    def test_batches_are_sent_as_fast_as_the_provider_allows(
        self, cube: CubeSimulator, gateway: Deployment, connections: int
    ) -> None:
        # Given a provider that refuses the eleventh query in any one second
        cube.configure(qps=10)
        gateway.configure(CUBE_MAX_QPS="10", QUEUE_SEND_CONCURRENCY=str(connections))

        def is_done_in_time() -> bool:
            cube.reset()
            forget_the_gate(gateway)
            # When a cold function and then a warm one have more than that to send
            started = time.monotonic()
            unsent = [failure for number in (15, 10) for failure in gateway.consume(messages(number))]
            took = time.monotonic() - started
            # Then what is sent is sent without one refusal
            stats = cube.stats()
            assert (stats["accepted"], stats["refused"]) == (25 - len(unsent), {})
            assert stats["highestRate"] <= 10
            return not unsent and 2.0 < took < 5.0

        # And that is all of it, in the third second, unless the machine delays a thread until its slot is lost
        wait_until("a run that takes no longer than the provider asks for", is_done_in_time)

    def test_both_functions_share_the_rate(self, cube: CubeSimulator, gateway: Deployment) -> None:
        cube.configure(qps=5)
        gateway.configure(CUBE_MAX_QPS="5")
        # When they take turns
        for _ in range(3):
            assert gateway.consume(messages(2)) == []
            assert gateway.post_in_turn(MESSAGE).status == 200
        # Then
        stats = cube.stats()
        assert (stats["accepted"], stats["refused"]) == (9, {})
        assert stats["highestRate"] <= 5

    @pytest.mark.parametrize("limits", [{"CUBE_MAX_QPS": "100"}, {"CUBE_DAILY_QUOTA": "1000"}], ids=["rate", "quota"])
    @pytest.mark.parametrize("number", [1, 4])
    def test_a_whole_batch_costs_one_write(
        self, cube: CubeSimulator, gateway: Deployment, limits: dict[str, str], number: int
    ) -> None:
        # Given a warm function, and a provider that takes far longer than the simulated AWS
        cube.configure(latency=0.2)
        gateway.configure(**limits)
        gateway.consume(messages(1))

        def costs_one_write() -> bool:
            # When a batch is consumed
            gateway.aws_calls.clear()
            assert gateway.consume(messages(number)) == []
            return gateway.aws_calls.operations == ["UpdateItem"] * (2 * number + 1)

        # Then there is one write on top of the two for each message, and nothing is read. On a slow machine, a worker
        # that falls behind its plan loses its slots, and has to write again
        wait_until("a batch at one write", costs_one_write)

    def test_a_call_of_the_api_costs_one_write(self, gateway: Deployment) -> None:
        gateway.configure(CUBE_MAX_QPS="100", CUBE_DAILY_QUOTA="1000")
        gateway.post(MESSAGE)
        gateway.aws_calls.clear()
        assert gateway.post(MESSAGE).status == 200
        assert gateway.aws_calls.operations == ["UpdateItem"] * 3

    def test_without_limits_nothing_is_written(self, gateway: Deployment) -> None:
        assert gateway.consume(messages(1)) == []
        assert "Item" not in gateway.dynamodb.get_item(TableName=TABLE, Key={"messageId": {"S": GATE_KEY}})

    def test_what_there_is_no_slot_for_in_time_is_put_back_until_about_its_slot(
        self, cube: CubeSimulator, gateway: Deployment
    ) -> None:
        # Given a worker that has the slots of the next 60 seconds, and an invocation that has time for the next ten
        Gate(gateway.dynamodb, TABLE, qps=1, quota=0, longest_post=10.0).reserve(60, latest=time.time() + 70.0)
        gateway.configure(CUBE_MAX_QPS="1")
        event = gateway.deliver(messages(5))
        # When
        failures = gateway.consume(event, RunningContext(33.2))
        # Then nothing is sent, and all of it comes back after that minute
        assert (cube.stats()["accepted"], len(failures)) == (0, 5)
        hidden = [gateway.aws_calls.hidden[record["receiptHandle"]] for record in event["Records"]]
        assert all(20 <= seconds <= 65 for seconds in hidden)

    def test_caller_whose_slot_is_too_far_is_told_that_and_not_that_the_gate_is_closed(
        self, cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
    ) -> None:
        # Given a worker that has the slots of the next 20 seconds
        Gate(gateway.dynamodb, TABLE, qps=1, quota=0, longest_post=10.0).reserve(20, latest=time.time() + 30.0)
        gateway.configure(CUBE_MAX_QPS="1")
        # When
        reply = gateway.post(MESSAGE)
        # Then
        assert (reply.status, reply.json["title"], reply.json["state"]) == (429, "Too many requests", "RETRYING")
        assert reply.json["detail"].startswith("not sent: all slots are busy for longer than this message can wait;")
        assert 15 <= int(reply.headers["Retry-After"]) <= 25
        # And so is who reads the log, or the record
        output = printed()
        (log,) = (log for log in output.logs if log["message"] == "message RETRYING")
        assert log["error"].startswith("NoSlotError: not sent: all slots are busy")
        assert output.values("GateClosed", "all") == []
        assert "all slots are busy" in gateway.get(reply.json["requestId"]).json["reason"]
        assert cube.stats()["received"] == 0

    def test_message_that_expires_while_it_waits_is_not_posted_and_leaves_its_slot(
        self, cube: CubeSimulator, gateway: Deployment
    ) -> None:
        # Given one query a second, which has just been made, and a message that has less than that
        gateway.configure(CUBE_MAX_QPS="1")
        gateway.consume(messages(1))
        expires_at = datetime.fromtimestamp(time.time() + 0.6, UTC).isoformat()
        event = queue_event({**MESSAGE, "expiresAt": expires_at}, MESSAGE)
        # When
        assert gateway.consume(event) == []
        # Then it ends unsent, and the message after it is posted in its place
        assert [gateway.record(each).state for each in ids(event)] == [State.EXPIRED, State.SENT]
        first, second = (request["at"] for request in cube.requests())
        assert 1 <= second - first < 1.9


class TestThrottled:
    """HTTP 429 closes the gate for everybody."""

    @pytest.mark.parametrize("is_cold", [False, True], ids=["same worker", "another worker"])
    @pytest.mark.parametrize(
        ("retry_after", "seconds"),
        [("600", 600.0), (formatdate(time.time() + 6000, usegmt=True), None)],
        ids=["seconds", "date"],
    )
    def test_next_batch_is_put_back_until_it_opens(
        self, gateway: Deployment, retry_after: str, seconds: float | None, is_cold: bool
    ) -> None:
        if seconds is None:
            retry_after, seconds = formatdate(math.ceil(time.time()) + 600, usegmt=True), 600.0
        with Wire(answer(FAILURE, 429, Retry_After=retry_after)) as wire:
            # Given
            gateway.configure(CUBE_BASE_URL=wire.url, CUBE_MAX_QPS="100")
            event = gateway.deliver(messages(3))
            gateway.consume(messages(1))
            closed_at = time.time()
            if is_cold:
                gateway.cool_down()
            # When
            failures = gateway.consume(event)
            # Then nothing is posted or claimed, and the queue hides the messages just as long
            assert len(wire.requests) == 1
        assert failures == ids(event)
        records = [gateway.store().get(f"default#{each}") for each in ids(event)]
        assert [record and record.state for record in records] == [State.QUEUED] * 3
        opens_at = closed_at + seconds
        assert [round(time.time() + hidden - opens_at) in (-1, 0, 1) for hidden in gateway.hidden()] == [True] * 3

    def test_rest_of_the_batch_uses_up_no_attempt(self, gateway: Deployment) -> None:
        # Given a provider that refuses the second of four messages
        with Wire(answer(), answer(FAILURE, 429, Retry_After="600"), answer()) as wire:
            gateway.configure(CUBE_BASE_URL=wire.url, CUBE_MAX_QPS="100")
            event = gateway.deliver(messages(4))
            # When
            failures = gateway.consume(event)
            # Then
            assert len(wire.requests) == 2
        assert failures == ids(event)[1:]
        records = [gateway.record(each) for each in ids(event)]
        assert [record.state for record in records] == [State.SENT] + [State.RETRYING] * 3
        assert [record.attempts for record in records] == [1, 1, 0, 0]
        assert [hidden > 600 - 60 for hidden in gateway.hidden()[1:]] == [True] * 3
        assert gateway.dead_letters() == []

    @pytest.mark.parametrize("is_cold", [False, True], ids=["warm", "cold"])
    def test_api_answers_at_once_and_sends_the_same_call_later(self, gateway: Deployment, is_cold: bool) -> None:
        # Given an API that is refused, or learns from the queue's function that the gate is closed
        with Wire(answer(FAILURE, 429, Retry_After="600"), answer()) as wire:
            gateway.configure(CUBE_BASE_URL=wire.url, CUBE_MAX_QPS="100")
            if is_cold:
                gateway.consume(messages(1))
            else:
                assert gateway.post(MESSAGE).status == 429
            # When
            reply = gateway.post(MESSAGE, Idempotency_Key="order-1")
            # Then it has not waited for any of the time
            assert_closed(reply, 429, 600.0)
            record = gateway.record("order-1")
            assert (record.state, record.attempts) == (State.RETRYING, 0)
            assert len(wire.requests) == 1
            # When it is called again after the time
            let_the_closing_end(gateway)
            reply = gateway.post(MESSAGE, Idempotency_Key="order-1")
            # Then
            assert (reply.status, reply.json["attempts"]) == (200, 1)
            assert len(wire.requests) == 2

    def test_attempts_made_before_are_still_counted(self, gateway: Deployment) -> None:
        # Given a message that was posted as often as it may be but once, and then the gate closes
        with Wire(answer(FAILURE, 503), answer(FAILURE, 429, Retry_After="600"), answer()) as wire:
            gateway.configure(CUBE_BASE_URL=wire.url, CUBE_MAX_QPS="100", MAX_ATTEMPTS="2")
            event = gateway.deliver(queue_event({**MESSAGE, "requestId": "order-1"}))
            gateway.consume(event)
            gateway.consume(messages(1))
            # When
            reply = gateway.post({**MESSAGE, "requestId": "order-1"})
            # Then
            assert (reply.status, reply.json["state"], reply.json["attempts"]) == (429, "RETRYING", 1)
            # And it has its last attempt when the gate is open
            let_the_closing_end(gateway)
            assert gateway.consume(event) == []
        record = gateway.record("order-1")
        assert (record.state, record.attempts) == (State.SENT, 2)

    def test_duplicate_of_a_sent_message_is_answered_from_its_record(self, gateway: Deployment) -> None:
        # Given
        with Wire(answer(), answer(FAILURE, 429, Retry_After="600")) as wire:
            gateway.configure(CUBE_BASE_URL=wire.url, CUBE_MAX_QPS="100")
            assert gateway.post(MESSAGE, Idempotency_Key="order-1").status == 200
            gateway.consume(messages(1))
            # When
            replies = [gateway.post(MESSAGE, Idempotency_Key=f"order-{n}") for n in (1, 2)]
            # Then
            assert [(reply.status, reply.json["state"]) for reply in replies] == [(200, "SENT"), (429, "RETRYING")]
            assert len(wire.requests) == 2

    def test_last_attempt_that_is_used_up_ends_the_message_although_the_gate_has_closed(
        self, cube: CubeSimulator, gateway: Deployment
    ) -> None:
        # Given a gate that another worker closes while the only attempt of a message is refused for its credentials
        gateway.configure(CUBE_MAX_QPS="100", MAX_ATTEMPTS="1")

        def close() -> None:
            write_gate(gateway, closedUntil=time.time() + 600, closedFor="throttled")

        cube.configure(next_faults=["status:401"])
        event = gateway.deliver(messages(1))
        gateway.aws_calls.before("GetSecretValue", 2, close)
        # When
        failures = gateway.consume(event)
        # Then
        assert (failures, gateway.record(ids(event)[0]).state) == ([], State.FAILED)
        assert [dead_letter.attributes["reason"] for dead_letter in gateway.dead_letters()] == ["AttemptsUsedUp"]


class TestUnavailable:
    """A provider that is unavailable closes the gate for everybody, and one message finds out when it is back."""

    @pytest.fixture(autouse=True)
    def _closed(self, cube: CubeSimulator, gateway: Deployment) -> None:
        gateway.configure(CUBE_MAX_QPS="100", MAX_ATTEMPTS="100")
        cube.configure(faults={"status:503": 1.0})
        gateway.consume(messages(FAILURES + 3))

    def test_five_posts_in_a_row_close_it(self, cube: CubeSimulator, gateway: Deployment) -> None:
        reply = gateway.post(MESSAGE, Idempotency_Key="order-1")
        assert_closed(reply, 503, UNAVAILABLE_SECONDS)
        assert cube.stats()["received"] == FAILURES

    def test_one_probe_opens_it(self, cube: CubeSimulator, gateway: Deployment) -> None:
        # Given a provider that is back
        cube.configure(faults={})
        let_the_closing_end(gateway)
        gateway.aws_calls.clear()
        # When
        assert gateway.consume(messages(4)) == []
        # Then the first message opened the gate for the others
        assert cube.stats()["accepted"] == 4
        assert gateway.post(MESSAGE).status == 200

    def test_probe_that_fails_closes_it_for_twice_as_long(self, cube: CubeSimulator, gateway: Deployment) -> None:
        for strikes in (2, 3):
            # Given
            let_the_closing_end(gateway)
            cube.reset()
            event = gateway.deliver(messages(4))
            # When
            failures = gateway.consume(event)
            # Then one message was posted, and the others wait
            assert (failures, cube.stats()["received"]) == (ids(event), 1)
            seconds = UNAVAILABLE_SECONDS * 2 ** (strikes - 1)
            assert_closed(gateway.post(MESSAGE, Idempotency_Key=f"order-{strikes}"), 503, seconds)
            assert all(seconds - HASTE < hidden <= seconds + 1 for hidden in gateway.hidden()[-3:])

    def test_others_wait_a_moment_for_a_probe_and_go_on_when_it_was_answered(
        self, cube: CubeSimulator, gateway: Deployment
    ) -> None:
        # Given a worker that is finding out whether the provider is back
        cube.configure(faults={})
        write_gate(gateway, closedUntil=time.time() + 18, closedFor="probing")
        gateway.cool_down()
        event = gateway.deliver(messages(2))
        # When others want to send meanwhile
        failures = gateway.consume(event)
        reply = gateway.post(MESSAGE, Idempotency_Key="order-1")
        # Then they have to wait, and only shortly
        assert failures == ids(event)
        assert max(gateway.hidden()[-2:]) <= 2
        assert (reply.status, int(reply.headers["Retry-After"]) <= 2) == (503, True)
        # And when the provider is back, they find the gate open
        write_gate(gateway, closedUntil=None, closedFor=None, strikes=None)
        time.sleep(int(reply.headers["Retry-After"]))
        assert gateway.consume(event) == []
        assert gateway.post(MESSAGE, Idempotency_Key="order-1").status == 200


class TestQuota:
    @pytest.fixture(autouse=True)
    def _one_day(self) -> None:
        avoid_midnight()

    @pytest.mark.parametrize("qps", ["0", "100"], ids=["without a rate", "with a rate"])
    def test_what_is_over_it_waits_for_the_next_day(self, cube: CubeSimulator, gateway: Deployment, qps: str) -> None:
        # Given
        gateway.configure(CUBE_DAILY_QUOTA="3", CUBE_MAX_QPS=qps)
        event = gateway.deliver(messages(4))
        # When
        failures = gateway.consume(event)
        # Then the queue hides the fourth message until then, or as long as SQS can
        assert failures == ids(event)[3:]
        assert cube.stats()["accepted"] == 3
        expected = min(MAX_INVISIBLE_SECONDS, until_tomorrow())
        assert expected - 1 < gateway.hidden()[-1] <= expected + 2
        waiting = gateway.record(failures[0])
        assert (waiting.state, waiting.attempts, waiting.expected_at is None) == (State.QUEUED, 0, False)
        # And callers learn when that is
        assert_closed(gateway.post(MESSAGE), 429, until_tomorrow() + 1)
        assert (cube.stats()["received"], gateway.dead_letters()) == (3, [])

    def test_a_new_worker_finds_what_is_left_of_it(self, cube: CubeSimulator, gateway: Deployment) -> None:
        gateway.configure(CUBE_DAILY_QUOTA="3")
        for expected in (200, 200, 200, 429):
            gateway.cool_down()
            assert gateway.post(MESSAGE).status == expected
        assert cube.stats()["received"] == 3

    @pytest.mark.parametrize("is_cold", [False, True], ids=["warm", "cold"])
    def test_what_was_sent_yesterday_does_not_count(
        self, cube: CubeSimulator, gateway: Deployment, is_cold: bool
    ) -> None:
        # Given a quota that was spent yesterday
        gateway.configure(CUBE_DAILY_QUOTA="3")
        gateway.consume(messages(1))
        write_gate(gateway, day=time.time() // DAY - 1, used=3.0)
        if is_cold:
            gateway.cool_down()
        # When
        assert len(gateway.consume(messages(4))) == 1
        # Then
        assert cube.stats()["accepted"] == 1 + 3

    def test_bulk_messages_leave_the_reserve_to_the_others(
        self, cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
    ) -> None:
        # Given a quota of which half is reserved, and a batch that begins with bulk messages
        gateway.configure(CUBE_DAILY_QUOTA="6", CUBE_QUOTA_RESERVE_PERCENT="50", CUBE_MAX_QPS="100")
        urgent, bulk = {**MESSAGE, "content": "urgent"}, {**MESSAGE, "priority": "bulk"}
        event = gateway.deliver(queue_event(bulk, bulk, bulk, bulk, urgent))
        # When it is sent
        failures = gateway.consume(event)
        # Then the other one comes first, and what comes into the reserve waits for the next day
        assert [post["contents"] for post in cube.requests()] == [["urgent"], ["Wake up"], ["Wake up"]]
        assert failures == ids(event)[2:4]
        expected = min(MAX_INVISIBLE_SECONDS, until_tomorrow())
        assert all(expected - 1 < seconds <= expected + 2 for seconds in gateway.hidden()[2:4])
        # And the gate does not count as closed
        output = printed()
        assert (output.values("QuotaUsed", "all"), output.values("GateClosed", "all")) == ([50.0], [])
        # When others come, and bulk ones through the API as well
        assert gateway.post(bulk).json["detail"].startswith("not sent: the rest of the day's quota is reserved")
        assert [gateway.post(MESSAGE).status for _ in range(4)] == [200, 200, 200, 429]

    def test_slots_that_were_not_used_are_not_lost(self, cube: CubeSimulator, gateway: Deployment) -> None:
        # Given duplicates, which need no slot
        gateway.configure(CUBE_DAILY_QUOTA="3")
        event = queue_event(*[{**MESSAGE, "requestId": "order-1"}] * 3)
        assert gateway.consume(event) == []
        assert cube.stats()["received"] == 1
        # When two more are sent
        assert gateway.consume(messages(2)) == []
        # Then
        assert cube.stats()["accepted"] == 3


class TestMetrics:
    @pytest.fixture(autouse=True)
    def _one_day(self) -> None:
        avoid_midnight()

    def test_wait_for_a_slot_is_measured(self, gateway: Deployment, printed: Callable[[], Printed]) -> None:
        gateway.configure(CUBE_MAX_QPS="2")

        def third_has_waited() -> bool:
            forget_the_gate(gateway)
            gateway.consume(messages(3))
            # Then there is one value for each POST
            first, second, third = printed().values("GateWait")
            return max(first, second) < 500 < third < 1500

        # And it is the time that was waited, unless the machine delayed one of the threads
        wait_until("a burst of which the third message alone waits", third_has_waited)

    def test_use_of_the_quota_is_measured(self, gateway: Deployment, printed: Callable[[], Printed]) -> None:
        # Given
        gateway.configure(CUBE_DAILY_QUOTA="4")
        used: list[list[float]] = []
        closed: list[list[float]] = []
        # When it is used up by both functions
        for invoke in (gateway.consume, gateway.consume, gateway.consume):
            invoke(messages(1))
            output = printed()
            used.append(output.values("QuotaUsed", "all"))
            closed.append(output.values("GateClosed", "all"))
        gateway.post(MESSAGE)
        output = printed()
        # Then there is a value for each invocation
        assert [*used, output.values("QuotaUsed", "all")] == [[25.0], [50.0], [75.0], [100.0]]
        assert [*closed, output.values("GateClosed", "all")] == [[], [], [], [1]]
        # And for those that find nothing left of it
        gateway.consume(messages(5))
        output = printed()
        assert (output.values("QuotaUsed", "all"), output.values("GateClosed", "all")) == ([100.0], [1])
        assert [log["reason"] for log in output.logs if log["message"] == "gate closed"] == ["quota"]

    def test_function_that_has_not_looked_at_the_gate_tells_nothing_of_it(
        self, gateway: Deployment, printed: Callable[[], Printed]
    ) -> None:
        # Given a quota that is used up
        gateway.configure(CUBE_DAILY_QUOTA="3", CUBE_MAX_QPS="100")
        gateway.consume(messages(3))
        gateway.cool_down()
        printed()
        # When a cold function only queues, and another has no time to send
        assert gateway.post(MESSAGE, Prefer="respond-async").status == 202
        gateway.consume(messages(1), Context(0.0))
        # Then
        assert printed().metrics == []

    def test_gate_that_somebody_spoiled_is_repaired_counted_and_logged(
        self, cube: CubeSimulator, gateway: Deployment, printed: Callable[[], Printed]
    ) -> None:
        # Given a gate that was used, and then changed by hand
        gateway.configure(CUBE_MAX_QPS="2", CUBE_DAILY_QUOTA="100")
        gateway.consume(messages(1))
        write_gate(gateway, l0="soon", l1="later")
        printed()
        # When more is sent
        assert gateway.consume(messages(2)) == []
        # Then
        assert cube.stats()["accepted"] == 3
        output = printed()
        assert output.values("GateRepaired", "all") == [2]
        assert [log["attributes"] for log in output.logs if log["message"] == "gate item repaired"] == [["l0", "l1"]]

    @pytest.mark.parametrize(
        ("status", "reason"), [(429, "throttled"), (503, "unavailable")], ids=["throttled", "unavailable"]
    )
    def test_closed_gate_is_counted_and_logged(
        self, gateway: Deployment, printed: Callable[[], Printed], status: int, reason: str
    ) -> None:
        def consume(number: int) -> Printed:
            gateway.consume(messages(number))
            return printed()

        def is_closed() -> bool:
            # On a slow machine a slot may be lost, and a message come again.
            outputs[1:] = [consume(FAILURES)]
            return bool(outputs[1].values("GateClosed", "all"))

        # Given a provider that refuses all messages but the first ones
        with Wire(answer()) as wire:
            gateway.configure(CUBE_BASE_URL=wire.url, CUBE_MAX_QPS="100")
            # When the gate is open, is closed, and is found closed by either function
            outputs = [consume(4)]
            wire.answer_with(answer(FAILURE, status, Retry_After="600"))
            wait_until("the gate to be closed", is_closed)
            outputs.append(consume(1))
            gateway.post(MESSAGE)
            outputs.append(printed())
        # Then
        assert [output.values("GateClosed", "all") for output in outputs] == [[], [1], [1], [1]]
        for output in outputs[1:]:
            (log,) = (log for log in output.logs if log["message"] == "gate closed")
            assert (log["level"], log["reason"]) == ("WARNING", reason)
            (metrics,) = (each for each in output.metrics if each["Account"] == "all")
            (directive,) = metrics["_aws"]["CloudWatchMetrics"]
            assert directive["Metrics"] == [{"Name": "GateClosed", "Unit": "Count"}]


class TestConnections:
    @pytest.mark.parametrize("fault", ["delay:0", "status:503", "rejected", "lost", "garbage"])
    def test_invocation_leaves_none_open_where_they_are_limited(
        self, provider: CubeSimulator, gateway: Deployment, fault: str
    ) -> None:
        gateway.configure(CUBE_BASE_URL=f"{provider.url}/cube/v4", CUBE_MAX_CONNECTIONS="3")
        invocations: list[Callable[[], object]] = [lambda: gateway.consume(messages(3)), lambda: gateway.post(MESSAGE)]
        # When functions that are cold, then warm, take turns, some of them in trouble
        for invoke in invocations * 2:
            provider.configure(next_faults=[fault])
            invoke()
            # Then each finds the connection free
            stats = settle(provider)
            assert stats["received"]
            assert stats["highestConcurrency"] == 1
            assert "connections" not in stats["reasons"]

    def test_those_of_several_threads_are_closed(self, provider: CubeSimulator, gateway: Deployment) -> None:
        provider.configure(connections=3, latency=0.3, next_faults=[])
        gateway.configure(CUBE_BASE_URL=f"{provider.url}/cube/v4", CUBE_MAX_CONNECTIONS="3", QUEUE_SEND_CONCURRENCY="3")
        for _ in range(2):
            assert gateway.consume(messages(6)) == []
            stats = settle(provider)
            assert (stats["accepted"], stats["refused"]) == (6, {})
            assert 1 < stats["highestInFlight"] <= 3

    def test_they_are_kept_where_there_is_no_limit(self, cube: CubeSimulator, gateway: Deployment) -> None:
        gateway.configure(CUBE_MAX_CONNECTIONS="0")
        for _ in range(3):
            assert gateway.consume(messages(2)) == []
            assert gateway.post(MESSAGE).status == 200
        # Then each function has one
        assert cube.stats()["connections"] == 2
