"""Where the CPU time of one warm message goes, and why it has to."""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks.functions import OURS
from benchmarks.processes import call_inside
from benchmarks.report import Section, table
from benchmarks.server import Server

TITLE = "Where a message's CPU goes"

_MESSAGES = 1500
_LISTED = 20

# What is less than this share is left out.
_LEAST = 0.005

_METHOD = f"""
{_MESSAGES:,} single messages of a warm function under the conditions of "Warm" (Cube answers at once). Whenever the
process has used a little more CPU time (`SIGPROF`, at the rate of the kernel's clock), the stack is looked at. A look
belongs to the innermost module of ours on the stack, with all that it calls in libraries. A part that was seen n times
is uncertain by 1 / sqrt(n) of itself.
"""

# What a module does for each message, and why that cannot go away.
REASONS = {
    "cube_sms/platform/direct_calls.py": (
        "two writes to DynamoDB",
        "The claim before the POST and the outcome after it keep a message from being lost or sent twice. Each is one"
        " signed HTTP request; nothing is read.",
    ),
    "cube_sms/platform/updates.py": (
        "the condition of a write",
        "A write that is refused brings the record as it is, and is no error.",
    ),
    "cube_sms/delivery/records/store.py": (
        "the claim, and what came of it",
        "The claim has to say whose it is and until when, and the answer whether it was granted.",
    ),
    "cube_sms/delivery/records/table.py": ("the write of a record", "DynamoDB takes names and values in its own form."),
    "cube_sms/delivery/records/items.py": (
        "what DynamoDB returns of a message",
        "Somebody may have changed a record by hand: nothing is posted on what cannot be read.",
    ),
    "cube_sms/delivery/records/record.py": (
        "what tells a request from another one",
        "Under one id there is one request: what is kept of it is a hash.",
    ),
    "cube_sms/provider/http.py": (
        "the POST to Cube",
        "One request and its answer through the kernel are the floor. The rest is a deadline for the whole answer, and"
        " knowing whether a request had left when something broke.",
    ),
    "cube_sms/provider/csss/client.py": (
        "the request's parameters, and Cube's answer",
        "The provider's format has to be written and read, and its answer is not believed before it has been checked.",
    ),
    "cube_sms/provider/csss/signing.py": (
        "the signature",
        "Cube refuses what is not signed; most of it is SHA-1 and one pass of JSON.",
    ),
    "cube_sms/platform/telemetry.py": (
        "a log line, and metrics",
        "One line tells what became of each message. Metrics are emitted once an invocation, so a batch of one pays"
        " alone for what ten share.",
    ),
    "cube_sms/delivery/sending.py": (
        "the order of things: claim, slot, POST, outcome",
        "It holds what must not be mixed up. It is plain Python between calls.",
    ),
    "cube_sms/queue/consumer.py": (
        "the batch, and settling each message with the queue",
        "SQS gives records and wants to know which of them failed.",
    ),
    "cube_sms/request/parsing.py": (
        "reading and checking the request",
        "A fault found here costs microseconds, at Cube a query.",
    ),
    "cube_sms/request/models.py": ("the request", "It says by what its record is found."),
    "cube_sms/request/envelopes.py": (
        "taking a request out of EventBridge's event",
        "The queue takes requests bare and in events, and has to tell which it is.",
    ),
    "cube_sms/request/content.py": (
        "checking the text",
        "What is too long, or has no form in the signature, is refused before it costs a query.",
    ),
    "cube_sms/delivery/states.py": (
        "what a state means",
        "Whether a message has come to its end.",
    ),
    "cube_sms/pacing/breaker.py": ("the breaker", "It only says that it is not closed."),
    "cube_sms/pacing/gate_item.py": ("the gate's item", "Without limits, as here, there is nothing in it."),
    "cube_sms/pacing/quota.py": ("the day's quota", "Without one, as here, there is nothing to count."),
    "cube_sms/pacing/gate.py": ("the gate", "Without limits, as here, it only asks whether there are any."),
    "cube_sms/provider/credentials.py": (
        "the account's credentials",
        "They are in memory while they are fresh.",
    ),
    "app.py": ("the handler", "It puts Lambda's context into the log, and hands over."),
}
_OUTSIDE = (
    "libraries that call us, and the interpreter",
    "Powertools' decorator of the handler, and the loop that measures.",
)


def measure(*, quick: bool = False) -> Section:
    """Return the parts of a message, and the functions."""
    messages = _MESSAGES // 4 if quick else _MESSAGES
    with Server() as server:
        found = call_inside(OURS, server, "sampling.stacks", OURS.module, messages)
    stacks = [(_from_handler(stack), count) for stack, count in found["stacks"]]
    total = sum(count for _, count in stacks)
    microseconds = found["seconds"] / messages * 1e6
    details = [
        f"{microseconds:,.0f} us of CPU, {total:,} looks:\n\n{_parts(stacks, total, microseconds)}",
        f"The {_LISTED} functions with the most time of their own, with what they call in C:\n\n"
        + _functions(stacks, total, microseconds),
        "The same as a picture: each bar is a function, as wide as its share, below the one that called it.\n\n"
        "![Where a message's CPU goes](benchmarks-hotspots.png)",
    ]
    return Section(TITLE, _METHOD, [], details, stacks=stacks)


def _from_handler(stack: list[str]) -> tuple[str, ...]:
    start = next((index for index, frame in enumerate(stack) if frame.endswith(":Function.handle_events")), -1)
    return tuple(stack[start + 1 :])


def _module(stack: tuple[str, ...]) -> str:
    ours = [frame.partition(":")[0] for frame in stack if frame.startswith(("cube_sms/", "app.py"))]
    return ours[-1] if ours else ""


def _parts(stacks: Any, total: int, microseconds: float) -> str:
    parts: Counter[str] = Counter()
    for stack, count in stacks:
        parts[_module(stack)] += count
    rows = []
    for module, count in parts.most_common():
        if count / total >= _LEAST:
            what, why = REASONS.get(module, ("", "")) if module else _OUTSIDE
            share = count / total
            rows.append((f"`{module}`" if module else "", what, f"{share * microseconds:,.0f}", f"{share:.0%}", why))
    return table(("module", "what it does", "us", "share", "why it cannot go away"), rows)


def _functions(stacks: Any, total: int, microseconds: float) -> str:
    own: Counter[str] = Counter()
    for stack, count in stacks:
        own[stack[-1] if stack else "the measurement"] += count
    rows = [
        (f"`{name.replace(':', ' ', 1)}`", f"{count / total * microseconds:,.0f}", f"{count / total:.1%}")
        for name, count in own.most_common(_LISTED)
    ]
    return table(("function", "us", "share"), rows)
