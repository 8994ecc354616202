"""Send everything in `events/` through a local stack, and show the outcomes.

Exits with 1 if an outcome is not the expected one. Usage: ``python -m local.demo``.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from local.command import run
from local.stack import SAMPLE_DEVICES, V4_ACCOUNT, LocalStack, wait_until
from local.workflows import (
    EventConsumer,
    Execution,
    campaign_result,
    create_state_machine,
    put_request_event,
    schedule,
    start_campaign,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EVENTS = Path(__file__).parents[1] / "events"
# What is off by default.
PARAMETERS = {
    "Campaigns": "true",
    "Receipts": "true",
    "Replies": "callback",
    "DeviceHistory": "true",
    "KeepReplies": "1",
}
# A device of an account that uses v4. It answers what it is sent, as that of the sample callback does.
V4_DEVICE = "89314404000939952254"
# Far above what it takes on a busy machine, in seconds. Receipts are asked for once a minute.
TIMEOUT = 300.0


@dataclass(frozen=True)
class Expected:
    """The expected results of one event's requests.

    Parameters
    ----------
    about : str
        What is special about them.
    outcome : str
        The state each ends in, or what the API answers.
    accepted, refused : int
        How many POSTs of each Cube accepts and refuses.
    told : str
        The event on the bus about each, empty if there is none.
    """

    about: str
    outcome: str
    accepted: int = 1
    refused: int = 0
    told: str = "SMS Sent"


EXPECTED = {
    "sqs-text": Expected("a text", "SENT"),
    "sqs-binary": Expected("binary, in hexadecimal", "SENT"),
    "sqs-chinese-text": Expected("a Chinese text", "SENT"),
    "sqs-v4": Expected("a text of an account that uses v4", "SENT", told="SMS Sent, SMS Delivered"),
    "sqs-provider-array": Expected("the provider's own array", "SENT"),
    "sqs-batch": Expected("one of several", "SENT"),
    "sqs-fifo": Expected("one of two for its device", "SENT"),
    "sqs-duplicate": Expected("the same message twice", "SENT, suppressed"),
    "sqs-invalid": Expected("not valid", "dead letter: InvalidRequest", accepted=0, told=""),
    "sqs-unknown-device": Expected("a device Cube does not know", "REJECTED", 0, 1, "SMS Rejected"),
    "sqs-provider-outage": Expected("Cube is down twice", "RETRYING, RETRYING, SENT", refused=2),
    "sqs-sns": Expected("a notification of SNS", "SENT"),
    "api-post-text": Expected("sent at once", "200 SENT"),
    "api-post-async": Expected("queued by the API", "202, SENT"),
    "api-post-invalid": Expected("not valid", "400", accepted=0, told=""),
    "api-get-history": Expected("the history of a device", "200", accepted=0, told=""),
    "api-delete": Expected("cancelled", "200 CANCELLED", accepted=0, told="SMS Cancelled"),
    "eventbridge-requested": Expected("from the event bus", "SENT"),
    "schedule-input": Expected("from EventBridge Scheduler", "SENT"),
    "send-and-wait-input": Expected("a state machine waits for it", "SUCCEEDED, SENT"),
    "campaign-input": Expected("a row of a CSV file", "SENT"),
    "stream-outcomes": Expected("a record of the stream", "published", accepted=0),
    "callback-reply": Expected("what its device answers", "", accepted=0, told="SMS Received"),
}
# What differs for one of them, by its request id.
EXCEPTIONS = {
    "spring-2026-3": Expected("a row that is not valid", "", accepted=0, told=""),
    "spring-2026-4": Expected("a device Cube does not know", "REJECTED", 0, 1, "SMS Rejected"),
    "order-7822-wakeup": Expected("a record of the stream", "published", accepted=0, told="SMS Rejected"),
    "asked": Expected("a state machine asks a device", "SUCCEEDED, SENT"),
    "asked-v4": Expected("one of an account that uses v4", "SUCCEEDED, SENT", told="SMS Sent, SMS Delivered"),
    "order-7823-wakeup": Expected("one for a task alone", "published", accepted=0, told=""),
}


class Message(NamedTuple):
    """What identifies a message in the request log, which has no request ids: it is unique within the demo."""

    device_id: str
    contents: tuple[str, ...]

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Message:
        """Return that of a send request."""
        items = request.get("smsContentList") or [{"smsTemplateContent": request.get("content", "")}]
        return cls(str(request.get("deviceId", "")), tuple(item["smsTemplateContent"] for item in items))


@dataclass
class Row:
    """One request of the demo: what was sent, and what became of it."""

    event: str
    request_id: str
    message: Message
    answer: str = ""
    execution: Execution | None = None
    states: str = ""
    told: str = ""
    accepted: int = 0
    refused: int = 0

    @property
    def expected(self) -> Expected:
        """What is expected of it."""
        return EXCEPTIONS.get(self.request_id, EXPECTED[self.event])

    @property
    def outcome(self) -> str:
        """The answer of the API or of a state machine, if there was one, and the states of the message."""
        return ", ".join(filter(None, [self.answer, self.states]))

    @property
    def is_as_expected(self) -> bool:
        """Whether outcome, event and the provider's request log are the expected ones."""
        found = Expected(self.expected.about, self.outcome, self.accepted, self.refused, self.told)
        return found == self.expected


def main() -> int:
    """Run the demo, and return the exit status."""
    started = time.monotonic()
    print("Starting the stack: MiniStack (local AWS), the deployed application, and a simulator of Cube ...")
    with LocalStack(PARAMETERS, cube=SAMPLE_DEVICES) as stack:
        print(f"Deployed after {time.monotonic() - started:.0f} s. Sending {len(EXPECTED)} events ...\n")
        everything = EventConsumer(stack, {"source": ["cube-sms"]})
        not_sent = EventConsumer(stack, _load("outcome-pattern"))
        rows = [row for event in EXPECTED for row in _send(stack, event)]
        campaign = _load("campaign-input")
        try:
            wait_until("every outcome", lambda: _is_complete(stack, rows, everything), timeout=TIMEOUT)
        except TimeoutError as error:
            print(error)
        _print_outcomes(rows)
        _print_not_sent(not_sent)
        _print_histories(stack, [row.message.device_id for row in rows if row.request_id.startswith("asked")])
        is_reported = _print_campaign(stack, campaign["key"], rows)
        _print_metrics(stack.metrics())
        print(f"\n{time.monotonic() - started:.0f} s in all. To look further: `make local` keeps the stack up.")
    unexpected = [row for row in rows if not row.is_as_expected]
    for row in unexpected:
        print(f"NOT AS EXPECTED: {row.event} {row.request_id}: expected {row.expected}, got {row}", file=sys.stderr)
    return 0 if is_reported and not unexpected else 1


def _load(event: str) -> Any:
    return json.loads((EVENTS / f"{event}.json").read_text("utf-8"))


def _send(stack: LocalStack, event: str) -> Iterator[Row]:
    content = _load(event)
    match event:
        case "eventbridge-requested":
            detail = json.loads(content["Records"][0]["body"])["detail"]
            yield Row(event, put_request_event(stack, detail), Message.of(detail))
        case "sqs-sns":
            (record,) = content["Records"]
            notification = json.loads(record["body"])
            stack.enqueue(record["body"])
            yield Row(event, notification["MessageId"], Message.of(json.loads(notification["Message"])))
        case "schedule-input":
            schedule(stack, content, datetime.now(UTC))
            yield Row(event, content["requestId"], Message.of(content))
        case "send-and-wait-input":
            execution = Execution.start(stack, create_state_machine(stack), content)
            yield Row(event, content["requestId"], Message.of(content), execution=execution)
        case "campaign-input":
            file = (EVENTS / "campaign.csv").read_text("utf-8")
            start_campaign(stack, file, content)
            for number, row in enumerate(csv.DictReader(file.splitlines()), start=1):
                request = {**row, "content": row["content"] or content["content"]}
                yield Row(event, f"{content['campaign']}-{number}", Message.of(request))
        case "stream-outcomes":
            function = stack.outputs["PublishOutcomesFunctionName"]
            answer = stack.aws.client("lambda").invoke(FunctionName=function, Payload=json.dumps(content))
            is_published = json.load(answer["Payload"]) == {"batchItemFailures": []}
            for change in content["Records"]:
                request_id = change["dynamodb"]["Keys"]["messageId"]["S"].rpartition("#")[2]
                yield Row(event, request_id, Message.of({}), answer="published" if is_published else "not published")
        case _ if "httpMethod" in content:
            yield from _call(stack, event, content) if event.startswith("api-") else _ask(stack, event, content)
        case _:
            yield from _enqueue(stack, event, content)


def _ask(stack: LocalStack, event: str, content: dict[str, Any]) -> list[Row]:
    # The provider calls back when a device has answered: as in the sample, and as a v4 notification.
    question, workflow = "Is the door closed?", create_state_machine(stack, "ask-and-wait")
    requests = [
        {"requestId": "asked", "deviceId": json.loads(content["body"])["sim_id"], "content": question},
        {"requestId": "asked-v4", "deviceId": V4_DEVICE, "content": question, "account": V4_ACCOUNT},
    ]
    asked = [
        Row(event, each["requestId"], Message.of(each), execution=Execution.start(stack, workflow, each))
        for each in requests
    ]
    return asked + [Row(event, each["deviceId"], Message.of({})) for each in requests]


def _enqueue(stack: LocalStack, event: str, content: dict[str, Any]) -> list[Row]:
    messages = {}
    for record in content["Records"]:
        request = json.loads(record["body"])
        message_id = stack.enqueue(record["body"])
        messages[request.get("requestId", message_id)] = Message.of(request)
    return [Row(event, request_id, message) for request_id, message in messages.items()]


def _call(stack: LocalStack, event: str, content: dict[str, Any]) -> list[Row]:
    names = ("Prefer", "Idempotency-Key")
    headers = {name.replace("-", "_"): content["headers"][name] for name in names if name in content["headers"]}
    answer = stack.call_api(content["httpMethod"], content["path"], content["body"], **headers)
    request = json.loads(content["body"] or "{}")
    request_id = answer.body.get("requestId") or request.get("requestId", "-")
    state = f" {answer.body['state']}" if answer.status == 200 and "state" in answer.body else ""
    return [Row(event, request_id, Message.of(request), answer=f"{answer.status}{state}")]


def _is_complete(stack: LocalStack, rows: list[Row], consumer: EventConsumer) -> bool:
    """Bring the rows up to date, and return whether all is as expected."""
    # Two workers can meet over one message; the second then comes back to it.
    entries = [entry for entry in stack.outcomes("SendFromQueue") if entry.get("state") != "SENDING"]
    posts = Counter(
        (Message(post["deviceId"], tuple(post["contents"])), post["accepted"]) for post in stack.cube.requests()
    )
    events = consumer.events()
    for row in rows:
        states = [_state(entry) for entry in entries if row.request_id == entry.get("request_id")]
        # Of two workers, the one that did not send may be the first whose line is there.
        row.states = ", ".join(sorted(states, key=lambda state: state == "suppressed"))
        row.told = ", ".join(event["detail-type"] for event in events if row.request_id == _told_of(event["detail"]))
        row.accepted, row.refused = posts[row.message, True], posts[row.message, False]
        if row.execution and (ended := row.execution.ended()):
            row.answer = ended["status"]
    return all(row.is_as_expected for row in rows)


def _told_of(detail: Mapping[str, Any]) -> Any:
    """Return what a row knows an event by: what a device answers has no request."""
    return detail.get("requestId") or detail["deviceId"]


def _state(entry: dict[str, Any]) -> str:
    if entry["message"] == "duplicate suppressed":
        return "suppressed"
    return str(entry.get("state") or f"dead letter: {entry['dead_letter_reason']}")


def _print_outcomes(rows: list[Row]) -> None:
    header = ("event", "what", "request", "outcome", "event on the bus", "Cube accepted", "refused", "attempts", "")
    table: list[tuple[str, ...]] = [header]
    for row in rows:
        verdict = "ok" if row.is_as_expected else "NOT AS EXPECTED"
        counts = (str(row.accepted), str(row.refused), str(row.accepted + row.refused))
        what = (row.event, row.expected.about, row.request_id, row.outcome or "-", row.told or "-")
        table.append((*what, *counts, verdict))
    _print_table(table)


def _print_not_sent(consumer: EventConsumer) -> None:
    print("\nOf these events, a rule with the pattern of outcome-pattern.json has put onto another queue:")
    for event in consumer.events():
        detail = event["detail"]
        print(f"  {event['detail-type']}: {detail['requestId']}, code {detail['code']}, eventId {detail['eventId']}")


def _print_histories(stack: LocalStack, devices: list[str]) -> None:
    print("\nThe histories of devices that have answered, after GET /devices/{deviceId}/messages:")
    table: list[tuple[str, ...]] = [("device", "account", "at", "what", "state", "content", "in reply to")]
    for device in devices:
        for entry in reversed(stack.call_api("GET", f"/devices/{device}/messages").body["entries"]):
            at = entry.get("createdAt") or entry["receivedAt"]
            told = (entry["kind"], entry.get("state", "-"), entry.get("content", "-"), entry.get("inReplyTo") or "-")
            table.append((device, entry["account"], at, *told))
    _print_table(table)


def _print_campaign(stack: LocalStack, key: str, rows: list[Row]) -> bool:
    """Print the result of the campaign, and return whether it is right."""
    try:
        result = wait_until("the campaign's result", lambda: campaign_result(stack, key), timeout=TIMEOUT)
    except TimeoutError as error:
        print(error)
        return False
    shown = ("deviceId", "site", "requestId", "state", "attempts", "code", "message", "reason")
    print(f"\nThe result of the campaign, {key.removesuffix('.csv')}.outcomes.csv:")
    _print_table([shown, *(tuple(row[name][:60] for name in shown) for row in result)])
    states = {row.request_id: row.states for row in rows if row.event == "campaign-input"}
    return {row["requestId"]: row["state"] for row in result} == {
        request_id: state or "REFUSED" for request_id, state in states.items()
    }


def _print_metrics(metrics: list[dict[str, Any]]) -> None:
    values: dict[tuple[str, str, str], list[float]] = {}
    for emf in metrics:
        (directive,) = emf["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]:
            values.setdefault((metric["Name"], emf["Account"], metric["Unit"]), []).extend(emf[metric["Name"]])
    table: list[tuple[str, ...]] = [("metric (CubeSms)", "Account", "sum or median", "unit")]
    for (name, account, unit), numbers in sorted(values.items()):
        number = sum(numbers) if unit == "Count" else sorted(numbers)[len(numbers) // 2]
        table.append((name, account, f"{number:.0f}", unit))
    print()
    _print_table(table)


def _print_table(table: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for index, line in enumerate(table):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        if index == 0:
            print("─" * min(sum(widths) + 2 * len(widths), shutil.get_terminal_size((140, 24)).columns))


if __name__ == "__main__":
    sys.exit(run(main))
