"""Send everything in `events/` through a local stack, and show what becomes of it.

Exits with 1 where an outcome is not the expected one. Usage: ``python -m local.demo``.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.stack import LocalStack, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS = Path(__file__).parents[1] / "events"
UNKNOWN_DEVICE = "89314404000939952299"
OUTAGE_DEVICE = "89314404000939952250"
TIMEOUT = 50.0


@dataclass(frozen=True)
class Expected:
    """What the requests of one event should come to.

    Parameters
    ----------
    about : str
        What is special about them.
    outcome : str
        The state each ends in, or what the API answers.
    accepted, refused : int
        How many POSTs of each Cube accepts and refuses.
    """

    about: str
    outcome: str
    accepted: int = 1
    refused: int = 0


EXPECTED = {
    "sqs-text": Expected("a text", "SENT"),
    "sqs-binary": Expected("binary, in hexadecimal", "SENT"),
    "sqs-chinese-text": Expected("a Chinese text", "SENT"),
    "sqs-provider-array": Expected("the provider's own array", "SENT"),
    "sqs-batch": Expected("one of several", "SENT"),
    "sqs-duplicate": Expected("the same message twice", "SENT, suppressed"),
    "sqs-invalid": Expected("not valid", "dead letter: InvalidRequest", accepted=0),
    "sqs-unknown-device": Expected("a device Cube does not know", "REJECTED", accepted=0, refused=1),
    "sqs-provider-outage": Expected("Cube is down twice", "RETRYING, RETRYING, SENT", refused=2),
    "api-post-text": Expected("sent at once", "200 SENT"),
    "api-post-async": Expected("queued by the API", "202, SENT"),
    "api-post-invalid": Expected("not valid", "400", accepted=0),
}


@dataclass
class Row:
    """One request of the demo: what was sent, and what became of it."""

    event: str
    expected: Expected
    request_id: str
    device_id: str
    answer: str = ""
    states: str = ""
    accepted: int = 0
    refused: int = 0

    @property
    def outcome(self) -> str:
        """The API's answer, if it was one, and the states of the message."""
        return ", ".join(filter(None, [self.answer, self.states]))

    @property
    def is_as_expected(self) -> bool:
        """Whether outcome and the provider's books are the expected ones."""
        expected = self.expected
        return (self.outcome, self.accepted, self.refused) == (expected.outcome, expected.accepted, expected.refused)


def main() -> int:
    """Run the demo, and return the exit status."""
    started = time.monotonic()
    print("Starting the stack: MiniStack (local AWS), the deployed application, and a simulator of Cube ...")
    faults = f"{OUTAGE_DEVICE}=status:503*2"
    with LocalStack(unknown_device=UNKNOWN_DEVICE, fault_device=faults) as stack:
        print(f"Deployed after {time.monotonic() - started:.0f} s. Sending {len(EXPECTED)} events ...\n")
        rows = [row for event, expected in EXPECTED.items() for row in _send(stack, event, expected)]
        try:
            wait_until("every outcome", lambda: _is_complete(stack, rows), timeout=TIMEOUT)
        except TimeoutError as error:
            print(error)
        _print_outcomes(rows)
        _print_metrics(stack.metrics())
        print(f"\n{time.monotonic() - started:.0f} s in all. To look further: `make local` keeps the stack up.")
    unexpected = [row for row in rows if not row.is_as_expected]
    for row in unexpected:
        print(f"NOT AS EXPECTED: {row.event} {row.request_id}: expected {row.expected}, got {row}", file=sys.stderr)
    return 1 if unexpected else 0


def _send(stack: LocalStack, event: str, expected: Expected) -> Iterator[Row]:
    content = json.loads((EVENTS / f"{event}.json").read_text())
    seen = set()
    for record in content.get("Records", []):
        request = json.loads(record["body"])
        message_id = stack.enqueue(record["body"])
        request_id = request.get("requestId", message_id)
        if request_id not in seen:
            yield Row(event, expected, request_id, request["deviceId"])
        seen.add(request_id)
    if "httpMethod" in content:
        names = ("Prefer", "Idempotency-Key")
        headers = {name.replace("-", "_"): content["headers"][name] for name in names if name in content["headers"]}
        answer = stack.call_api(content["httpMethod"], content["path"], content["body"], **headers)
        request = json.loads(content["body"])
        request_id = answer.body.get("requestId") or request.get("requestId", "-")
        row = Row(event, expected, request_id, str(request.get("deviceId", "-")), answer=str(answer.status))
        if answer.status == 200:
            row.answer += f" {answer.body['state']}"
        yield row


def _is_complete(stack: LocalStack, rows: list[Row]) -> bool:
    """Bring the rows up to date, and return whether all is as expected."""
    # Two workers can meet over one message; the second then comes back to it.
    entries = [
        entry
        for entry in stack.outcomes()
        if "SendFromQueue" in entry["function_name"] and entry.get("state") != "SENDING"
    ]
    posts = Counter((post["deviceId"], post["accepted"]) for post in stack.cube.requests())
    for row in rows:
        states = [_state(entry) for entry in entries if row.request_id == entry.get("request_id")]
        row.states = ", ".join(states)
        row.accepted, row.refused = posts[row.device_id, True], posts[row.device_id, False]
    return all(row.is_as_expected for row in rows)


def _state(entry: dict[str, Any]) -> str:
    if entry["message"] == "duplicate suppressed":
        return "suppressed"
    return str(entry.get("state") or f"dead letter: {entry['dead_letter_reason']}")


def _print_outcomes(rows: list[Row]) -> None:
    table: list[tuple[str, ...]] = [("event", "what", "request", "outcome", "Cube accepted", "refused", "attempts", "")]
    for row in rows:
        verdict = "ok" if row.is_as_expected else "NOT AS EXPECTED"
        counts = (str(row.accepted), str(row.refused), str(row.accepted + row.refused))
        table.append((row.event, row.expected.about, row.request_id, row.outcome, *counts, verdict))
    _print_table(table)


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
    sys.exit(main())
