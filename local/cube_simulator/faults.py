"""Misbehaviour on demand: which fault befalls which request.

A fault is written `KIND[:ARGUMENT]`, and `KIND[:ARGUMENT]*TIMES` if it can end. Some faults strike before processing:
the request log has the request as unaccepted. The client gets:

status:CODE
    That HTTP status; 4xx with an envelope, 5xx with an HTML page. 429 and 503 have `Retry-After: 1`, unless
    `status:CODE+SECONDS` or `status:CODE+none` say otherwise.
rejected[:CODE]
    HTTP 200 and a failure envelope with that code (default 9500).
echo[:FORM]
    HTTP 200 and a failure envelope that quotes the device id and the content. The content's form is
    plain (default), cut, upper, html, json, spaces, base64, or code (plain, as the code).
redirect[:URL]
    HTTP 302 to that URL. By default it is a second sendSms path here, so that the request log shows followers.
reset
    The connection is reset (TCP RST) as soon as the request was read.
drop
    The connection is closed in order (TCP FIN), without an answer.

Other faults strike after processing, and only spoil the answer. The request is checked and logged as usual, and
accepted if it was right. The client gets:

status-after:CODE
    As with status. `+SECONDS` gives a Retry-After.
delay[:SECONDS]
    The answer, that much later (default 1).
trickle[:SECONDS]
    The answer byte by byte from its status line on, with that pause between (default 0.05).
truncated
    Half of the body that Content-Length promised, then the end of the connection.
garbage
    HTTP 200 and a body that is not JSON.
huge
    The answer's envelope with 1 MiB beside it.
bomb
    The answer's envelope with 11 MiB beside it, as 11 KB of gzip.
lost
    The connection is reset without an answer.

Faults strike only requests within the limits. The queue of faults for the next requests decides first, then the device,
then a rate with a seeded generator.
"""

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

ECHOES = ("plain", "cut", "upper", "html", "json", "spaces", "base64", "code")


class _Kind(NamedTuple):
    """Whether the request is processed, and the argument's form and default; a kind without a form takes none."""

    processed: bool
    form: str = ""
    default: str = ""


_STATUS = r"[2-5]\d\d(\+(\d{1,9}|none))?"
# These have a `Retry-After` by default.
_TELLS_WHEN = ("status:429", "status:503")
_SECONDS = r"\d+(\.\d+)?"
_KINDS = {
    "status": _Kind(False, _STATUS),
    "rejected": _Kind(False, r"(?!0000$|CB-00-0000$)[\w-]+", "9500"),
    "echo": _Kind(False, "|".join(ECHOES), "plain"),
    "redirect": _Kind(False, "[!-~]+", "/redirected/sms/sendSms"),
    "reset": _Kind(False),
    "drop": _Kind(False),
    "status-after": _Kind(True, _STATUS),
    "delay": _Kind(True, _SECONDS, "1"),
    "trickle": _Kind(True, _SECONDS, "0.05"),
    "truncated": _Kind(True),
    "garbage": _Kind(True),
    "huge": _Kind(True),
    "bomb": _Kind(True),
    "lost": _Kind(True),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave."""

    kind: str
    argument: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `KIND[:ARGUMENT]`; `KIND=ARGUMENT` is taken as well.

        Raises
        ------
        ValueError
            If there is no such kind, or it does not take the argument.
        """
        kind, *given = re.split("[:=]", text, maxsplit=1)
        if kind not in _KINDS:
            raise ValueError(f"{kind!r} is no kind of fault, which are {', '.join(_KINDS)}")
        argument = given[0] if given else _KINDS[kind].default
        if not re.fullmatch(_KINDS[kind].form, argument):
            raise ValueError(f"{argument!r} is no argument of {kind}")
        return cls(kind, argument)

    @property
    def status(self) -> int:
        """The HTTP status of a fault that is one."""
        return int(self.argument[:3])

    @property
    def retry_after(self) -> int | None:
        """The seconds of its Retry-After, where it carries one."""
        if str(self) in _TELLS_WHEN:
            return 1
        _, _, seconds = self.argument.partition("+") if "status" in self.kind else ("", "", "")
        return int(seconds) if seconds.isdigit() else None

    @property
    def processed(self) -> bool:
        """Whether the request is processed all the same."""
        return _KINDS[self.kind].processed

    def __str__(self) -> str:
        return f"{self.kind}:{self.argument}" if self.argument else self.kind


@dataclass(slots=True)
class Script:
    """A fault for the first `times` requests (None: for all), after which the provider has recovered."""

    fault: Fault
    times: int | None
    used: int = field(default=0, compare=False)

    @classmethod
    def parse(cls, text: str, times: int | None = None) -> Self:
        """Read `KIND[:ARGUMENT][*TIMES]`; `times` is meant where the text gives none."""
        if counted := re.fullmatch(r"(.*)\*(\d+)", text, re.DOTALL):
            return cls(Fault.parse(counted[1]), int(counted[2]))
        return cls(Fault.parse(text), times)

    @property
    def over(self) -> bool:
        """Whether the fault has struck as often as it was meant to."""
        return self.times is not None and self.used >= self.times

    def __str__(self) -> str:
        return str(self.fault) if self.times is None else f"{self.fault}*{self.times}"


class Faults:
    """The choice of a fault for each request; the same seed and the same requests give the same choices."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.rewind()

    def rewind(self) -> None:
        """Start the random generator again."""
        self._random = random.Random(self._seed)  # noqa: S311 - repeatable on purpose

    def choose(
        self,
        devices: Iterable[str | None],
        queue: list[Script],
        scripts: Mapping[str, Script],
        rates: Mapping[Fault, float],
    ) -> Fault | None:
        """Return the fault that befalls the next request, or None, and use up what is counted."""
        while queue and queue[0].over:
            queue.pop(0)
        for script in (*queue[:1], *(scripts.get(device or "") for device in devices)):
            if script and not script.over:
                script.used += 1
                return script.fault
        draw = self._random.random()
        for fault, rate in rates.items():
            draw -= rate
            if draw < 0:
                return fault
        return None
