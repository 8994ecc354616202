"""What share of receipts is known when, within a share of the quota: simulated time, and the gateway's own rules.

A message is sent at any moment of the day to any SIM. It ends after a while, and then the provider's answers show it.
Each minute the gateway asks about the SIMs that are due, first about those that have been due for the longest.
"""

from __future__ import annotations

import heapq
import random
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.report import Section, table
from cube_sms.delivery.looks import HOUR, MINUTE, next_look
from cube_sms.followup.shift import allowed
from cube_sms.platform import DAY

if TYPE_CHECKING:
    from collections.abc import Sequence

SEED = 5
QUOTA = 5000
WINDOW = 72 * HOUR

# Days that are simulated, all of them alike, and the one whose messages are counted. By then as many of earlier days
# are still asked for as there will be, and three more days follow.
DAYS = 9
COUNTED = 5

# The most questions in a run of a minute.
MOST_A_RUN = 40

AFTER = {"5 minutes": 5 * MINUTE, "1 hour": HOUR, "1 day": float(DAY), "72 hours": WINDOW}
HEADER = (
    "messages a day",
    "SIMs",
    "share of the quota",
    "questions a day",
    *(f"known after {after}" for after in AFTER),
)


class Case(NamedTuple):
    """How many messages a day to how many SIMs, and which percent of the quota may ask for receipts."""

    messages: int
    sims: int
    percent: int


CASES = (
    *(Case(500, sims, 20) for sims in (100, 500)),
    *(Case(5000, sims, percent) for percent in (20, 80) for sims in (100, 500, 1000, 5000)),
)


class Outcome(NamedTuple):
    """The results of a case: questions a day, and the share that is known after each time of `AFTER`."""

    questions: float
    known: Sequence[float]


class _Message(NamedTuple):
    sent_at: float
    sim: int
    ends_at: float


def measure(_quick: bool) -> Section:
    """Simulate all cases."""
    rows = []
    for case in CASES:
        found = simulate(case)
        shares = [f"{100 * share:.0f} %" for share in found.known]
        rows.append([f"{case.messages:,}", f"{case.sims:,}", f"{case.percent} %", f"{found.questions:,.0f}", *shares])
    ended = [delay(generator) for generator in [random.Random(SEED)] for _ in range(100_000)]
    over = [f"{100 * sum(each <= after for each in ended) / len(ended):.0f} %" for after in AFTER.values()]
    rows.append(["any", "any", "without a limit, and asked all the time", "", *over])
    return Section(blocks={"receipts": table(HEADER, rows)})


def delay(generator: random.Random) -> float:
    """Return after how many seconds a message ends: of devices that are on, that sleep, and that are off."""
    kind = generator.random()
    if kind < 0.9:
        return generator.lognormvariate(1.6, 1.0)
    return generator.expovariate(1 / HOUR) if kind < 0.97 else generator.uniform(6 * HOUR, 48 * HOUR)


def simulate(case: Case) -> Outcome:
    """Simulate days with messages, and return the results of the messages of one of them."""
    generator = random.Random(SEED)
    share = QUOTA * case.percent // 100
    sent = [_sent(generator, day, case.sims) for day in range(DAYS) for _ in range(case.messages)]
    # When each is due, and those that are due by their SIM.
    later = [(next_look(each.sent_at, each.sent_at), number) for number, each in enumerate(sent)]
    heapq.heapify(later)
    due: dict[int, list[int]] = {}
    known: dict[int, float] = {}
    asked, questions, today = 0, 0, 0
    for minute in range(DAYS * DAY // 60):
        now = minute * MINUTE
        if now // DAY != today:
            asked, today = 0, int(now // DAY)
        while later and later[0][0] <= now:
            _, number = heapq.heappop(later)
            if now - sent[number].sent_at < WINDOW:
                due.setdefault(sent[number].sim, []).append(number)
        for _ in range(MOST_A_RUN):
            if not due or asked >= allowed(share, now):
                break
            # Dictionaries keep their order: the SIM that has been due for the longest.
            numbers = due.pop(next(iter(due)))
            asked += 1
            questions += COUNTED * DAY <= now < (COUNTED + 1) * DAY
            for number in numbers:
                if sent[number].ends_at <= now:
                    known[number] = now
                else:
                    heapq.heappush(later, (next_look(sent[number].sent_at, now), number))
    counted = [number for number, each in enumerate(sent) if COUNTED * DAY <= each.sent_at < (COUNTED + 1) * DAY]
    waits = [known.get(number, float("inf")) - sent[number].sent_at for number in counted]
    return Outcome(questions, [sum(wait <= after for wait in waits) / len(waits) for after in AFTER.values()])


def _sent(generator: random.Random, day: int, sims: int) -> _Message:
    at = (day + generator.random()) * DAY
    return _Message(at, generator.randrange(sims), at + delay(generator))
