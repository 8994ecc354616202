"""The simulated provider without its sockets: a request in, an answer out, everything in the books."""

import json
import math
import sys
from dataclasses import dataclass, replace
from email.utils import formatdate
from urllib.parse import parse_qs

from local.cube_simulator import effects, signature
from local.cube_simulator.answers import CLOSE, SUCCESS, Answer, Headers, RefusedError, as_json, refusal
from local.cube_simulator.books import Books, Entry
from local.cube_simulator.callbacks import Callbacks, MobileMessage
from local.cube_simulator.checks import check
from local.cube_simulator.config import Config, ConfigError
from local.cube_simulator.faults import Faults
from local.cube_simulator.limits import Clock, Limits


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request that has arrived whole, on the connection with this number."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


class Cube:
    """A strict Cube that can be told to misbehave."""

    def __init__(self, config: Config, seed: int, *, clock: Clock | None = None, log: bool = False) -> None:
        self.config = config
        self.seed = seed
        self._clock = clock or Clock()
        self._log = log
        self._limits = Limits(self._clock)
        self._faults = Faults(seed)
        self._books = Books(self._clock)
        self._callbacks = Callbacks()

    def handle(self, request: Request) -> tuple[Answer, Entry | None]:
        """Decide on a request at once; the entry is that of a sendSms request, for `finish`."""
        path, _, query = request.target.partition("?")
        if path.endswith("/sms/sendSms"):
            if request.method != "POST":
                return as_json(405, {"error": "method not allowed"}, (("Allow", "POST"),)), None
            return self._send(request)
        return self._administer(request, path, query), None

    def finish(self, entry: Entry) -> None:
        """Note that a request was answered, or never will be."""
        self._books.finish()
        if self._log:
            print(json.dumps(entry.shown()), file=sys.stderr, flush=True)

    def close(self, connection: int) -> None:
        """Note that a connection has closed."""
        self._limits.release(connection)
        self._books.close(connection)

    def stop(self) -> None:
        """Give up the callbacks that are under way."""
        self._callbacks.stop()

    def _send(self, request: Request) -> tuple[Answer, Entry]:
        entry = self._books.receive(request.connection, _readable(request.body))
        try:
            self._limits.admit(request.connection, self.config)
        except RefusedError as error:
            return self._delayed(self._refused(request, entry, error)), entry
        config = self.config
        fault = self._faults.choose(entry.device_id or "", config.next_faults, config.device_faults, config.faults)
        if fault:
            self._books.strike(entry, fault.kind, str(fault))
        if fault and not fault.processed:
            answer = effects.instead(fault, entry.device_id or "", entry.contents)
            self._books.refuse(entry, "fault", answer.status)
        else:
            answer = self._processed(request, entry)
            if fault:
                answer = effects.spoiled(fault, answer)
        if fault and fault.retry_after is not None:
            answer = self._with_retry_after(answer, fault.retry_after)
        return self._delayed(answer), entry

    def _processed(self, request: Request, entry: Entry) -> Answer:
        try:
            check(request.body, request.headers.get("content-type", ""), self.config, self._clock.wall())
        except RefusedError as error:
            return self._refused(request, entry, error)
        self._books.accept(entry)
        device = entry.device_id or ""
        if (text := self.config.reply_devices.get(device)) and self.config.callback_url:
            message = MobileMessage(device, text, int(self._clock.wall() * 1000))
            self._callbacks.send(message, self.config)
        return SUCCESS

    def _refused(self, request: Request, entry: Entry, error: RefusedError) -> Answer:
        english = request.headers.get("accept-language", "").strip().lower().startswith("en")
        answer = refusal(error, english=english)
        if self.config.envelope_only:
            answer = replace(answer, status=200)
        self._books.refuse(entry, error.reason, answer.status)
        if error.retry_after is not None:
            answer = self._with_retry_after(answer, error.retry_after)
        if error.reason == "connections":
            answer = replace(answer, headers=(*answer.headers, CLOSE))
        return answer

    def _delayed(self, answer: Answer) -> Answer:
        """Add the latency of the provider, of which a connection that breaks has none."""
        if not (self.config.latency and answer.status):
            return answer
        return replace(answer, pause=answer.pause + self.config.latency)

    def _with_retry_after(self, answer: Answer, seconds: int) -> Answer:
        headers: Headers = ()
        if self.config.retry_after == "seconds":
            headers = (("Retry-After", str(seconds)),)
        elif self.config.retry_after == "date":
            headers = (("Retry-After", formatdate(math.ceil(self._clock.wall()) + seconds, usegmt=True)),)
        return replace(answer, headers=(*answer.headers, *headers))

    def _administer(self, request: Request, path: str, query: str) -> Answer:
        """Answer under `/_`, where no limit counts."""
        match request.method, path:
            case "GET", "/_health":
                return as_json(200, {"status": "ok"})
            case "GET", "/_stats":
                return as_json(200, {**self._books.stats(), "quotaUsed": self._limits.quota_used()})
            case "GET", "/_requests":
                return as_json(200, self._books.requests(parse_qs(query).get("deviceId", [None])[0]))
            case "GET", "/_config":
                return as_json(200, {**self.config.shown(), "seed": self.seed})
            case "PUT", "/_config":
                return self._configure(request.body)
            case "GET", "/_callbacks":
                return as_json(200, self._callbacks.shown())
            case "POST", "/_callbacks":
                return self._call_back(request.body)
            case "POST", "/_reset":
                self._reset()
                return as_json(200, {"status": "reset"})
            case _, "/_health" | "/_stats" | "/_requests" | "/_config" | "/_callbacks" | "/_reset":
                return as_json(405, {"error": "method not allowed"})
            case _:
                return as_json(404, {"error": "no such path"})

    def _configure(self, body: bytes) -> Answer:
        try:
            self.config = self.config.changed(signature.parse(body))
        except ConfigError as error:
            return as_json(400, {"error": str(error)})
        except ValueError as error:
            return as_json(400, {"error": f"body: {error}"})
        return as_json(200, {**self.config.shown(), "seed": self.seed})

    def _call_back(self, body: bytes) -> Answer:
        try:
            given = signature.parse(body).get("callbacks")
            messages = [MobileMessage.read(each) for each in (given if isinstance(given, list) else [given])]
            if not self.config.callback_url:
                raise ValueError("callbackUrl is not set")
        except ValueError as error:
            return as_json(400, {"error": str(error)})
        for message in messages:
            self._callbacks.send(message, self.config)
        return as_json(200, {"callbacks": len(messages)})

    def _reset(self) -> None:
        """Clear the books and what is used of the limits, and play the faults of the configuration from the start."""
        self._books.reset()
        self._callbacks.reset()
        self._limits.reset()
        self._faults.rewind()
        self.config.next_faults.clear()
        for script in self.config.device_faults.values():
            script.used = 0


def _readable(body: bytes) -> signature.Parameters:
    """Return what can be read of a body before it is checked: the books and a device's faults want to know of it."""
    try:
        return signature.parse(body)
    except ValueError:
        return {}
