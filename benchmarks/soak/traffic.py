"""What a soak sends: messages by every input, at their own pace, and what was sent."""

from __future__ import annotations

import itertools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from local.stack import V4_ACCOUNT
from local.workflows import Execution, put_request_event, start_campaign

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.stack import LocalStack

TEXT = "Report your position"
REPLY = "Door closed"

# Of everyday requests. An outage comes on top, for so many seconds each time.
FAULTS = {"status:503": 0.02, "rejected:1004": 0.01, "lost": 0.01, "garbage": 0.005, "delay:0.4": 0.03}
OUTAGE = {"status:503": 1.0}
OUTAGE_SECONDS = 15.0

# How often a call of the API is repeated, as its answer asks.
_TRIES = 100


class Sent(NamedTuple):
    """A message, by the input that it came by."""

    way: str
    account: str
    request_id: str
    device: str

    @property
    def message_id(self) -> str:
        """The key of its record."""
        return f"{self.account}#{self.request_id}"


class Campaign(NamedTuple):
    """A campaign that was started: its file, its execution, and its rows in the file's order."""

    key: str
    execution: Execution
    rows: list[Sent]


class Traffic:
    """Sends messages for a while.

    Parameters
    ----------
    stack : LocalStack
        The stack to send to.
    campaign_rows : int
        Rows of each campaign.
    outages : bool
        Whether the provider is down now and then.
    """

    def __init__(self, stack: LocalStack, campaign_rows: int, *, outages: bool) -> None:
        self.sent: list[Sent] = []
        self.campaigns: list[Campaign] = []
        self.replies: list[str] = []
        self.faults: list[str] = []
        """Calls of the API that were not answered in the end."""
        self._stack = stack
        self._campaign_rows = campaign_rows
        self._numbers = itertools.count()
        self._stopped = threading.Event()
        # What is sent, and each how many seconds.
        self._sources: dict[Callable[[], None], float] = {
            self._enqueue: 0.25,
            self._enqueue_v4: 1.0,
            self._call: 3.0,
            self._call_async: 7.0,
            self._put_event: 9.0,
            self._reply: 11.0,
            self._start_campaign: 300.0,
            **({self._fail: 600.0} if outages else {}),
        }

    def run(self, seconds: float, look: Callable[[], None], every: float) -> None:
        """Send for so many seconds, and look at everything now and then."""
        self._stack.cube.configure(faults=FAULTS)
        with ThreadPoolExecutor(len(self._sources)) as pool:
            running = [pool.submit(self._repeat, *source) for source in self._sources.items()]
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                look()
                time.sleep(min(every, max(0.0, end - time.monotonic())))
            self._stopped.set()
        for each in running:
            each.result()
        self._stack.cube.configure(faults={})

    def _repeat(self, send: Callable[[], None], every: float) -> None:
        start = time.monotonic()
        for turn in itertools.count(1):
            send()
            if self._stopped.wait(max(0.0, start + turn * every - time.monotonic())):
                return

    def _next(self, way: str, account: str = "default", **fields: Any) -> tuple[Sent, dict[str, Any]]:
        number = next(self._numbers)
        sent = Sent(way, account, f"soak-{number}", f"8931{number:016d}")
        body = {"requestId": sent.request_id, "deviceId": sent.device, "content": TEXT, "account": account, **fields}
        return sent, body

    def _enqueue(self) -> None:
        sent, body = self._next("queue")
        self._stack.enqueue(json.dumps(body))
        self.sent.append(sent)

    def _enqueue_v4(self) -> None:
        sent, body = self._next("queue, v4", V4_ACCOUNT)
        self._stack.enqueue(json.dumps(body))
        self.sent.append(sent)

    def _call(self) -> None:
        self._post("API")

    def _call_async(self) -> None:
        self._post("API, respond-async", Prefer="respond-async")

    def _post(self, way: str, **headers: str) -> None:
        sent, body = self._next(way)
        for _ in range(_TRIES):
            answer = self._stack.call_api("POST", "/messages", json.dumps(body), **headers)
            # 422: the provider refused it, which is an end too.
            if answer.status in (200, 202, 422):
                self.sent.append(sent)
                return
            self._stopped.wait(float(answer.headers.get("Retry-After", "1")))
        self.faults.append(f"{sent.request_id}: the API's last answer of {_TRIES} was {answer.status}")

    def _put_event(self) -> None:
        sent, body = self._next("event")
        put_request_event(self._stack, body)
        self.sent.append(sent)

    def _reply(self) -> None:
        number = next(self._numbers)
        self._stack.cube.call_back({"deviceId": f"8931{number:016d}", "content": f"{REPLY} {number}"})
        self.replies.append(f"{REPLY} {number}")

    def _start_campaign(self) -> None:
        name = f"soak-{uuid4().hex[:8]}"
        numbers = [next(self._numbers) for _ in range(self._campaign_rows)]
        rows = [
            Sent("campaign", V4_ACCOUNT, f"{name}-{place}", f"8931{number:016d}")
            for place, number in enumerate(numbers, 1)
        ]
        text = "deviceId,account\n" + "".join(f"{row.device},{row.account}\n" for row in rows)
        data = {"key": f"{name}.csv", "campaign": name, "content": TEXT}
        self.campaigns.append(Campaign(data["key"], start_campaign(self._stack, text, data), rows))
        self.sent += rows

    def _fail(self) -> None:
        self._stack.cube.configure(faults=OUTAGE)
        self._stopped.wait(OUTAGE_SECONDS)
        self._stack.cube.configure(faults=FAULTS)
