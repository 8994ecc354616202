"""The simulated provider without its sockets: a request in, an answer out, and an entry in the request log."""

import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from email.utils import formatdate
from urllib.parse import parse_qs

from local.cube_simulator import effects, lists, signature, v4
from local.cube_simulator.answers import CLOSE, Answer, Headers, RefusedError, as_json
from local.cube_simulator.books import Books, Query
from local.cube_simulator.callbacks import Callbacks, MobileMessage
from local.cube_simulator.checks import refuse_devices
from local.cube_simulator.config import Config, ConfigError
from local.cube_simulator.dialects import CSSS, CUBE_V4, Dialect, refusal
from local.cube_simulator.faults import Faults
from local.cube_simulator.jobs import Jobs
from local.cube_simulator.limits import Clock, Limits
from local.cube_simulator.request import Request, Told


class Cube:
    """A strict Cube that misbehaves on demand."""

    def __init__(self, config: Config, seed: int, *, clock: Clock | None = None, log: bool = False) -> None:
        self.config = config
        self.seed = seed
        self._clock = clock or Clock()
        self._log = log
        self._limits = Limits(self._clock)
        self._faults = Faults(seed)
        self._books = Books(self._clock)
        self._jobs = Jobs(self._clock)
        self._replies = lists.Replies(self._clock)
        self._callbacks = Callbacks()

    def handle(self, request: Request) -> tuple[Answer, Query | None]:
        """Decide on a request at once; with the answer comes the query, if it is one that sends, for `finish`."""
        for suffix, dialect in (("/sms/sendSms", CSSS), ("/sms", CUBE_V4)):
            if request.path.endswith(suffix):
                return self._send(request, dialect) if request.method == "POST" else (_not_allowed("POST"), None)
        if listed := re.search(r"/sms/(mt|mo)/([^/]+)$", request.path):
            is_get = request.method == "GET"
            return self._list(request, listed[1], listed[2]) if is_get else _not_allowed("GET"), None
        return self._administer(request), None

    def finish(self, query: Query) -> None:
        """Note that a query was answered, or never will be."""
        self._books.finish()
        if self._log:
            for entry in query.entries:
                print(json.dumps(entry.shown()), file=sys.stderr, flush=True)

    def close(self, connection: int) -> None:
        """Note that a connection has closed."""
        self._limits.release(connection)
        self._books.close(connection)

    def stop(self) -> None:
        """Give up the callbacks that are under way."""
        self._callbacks.stop()

    def _send(self, request: Request, dialect: Dialect) -> tuple[Answer, Query]:
        told = dialect.told(request)
        query = self._books.receive(request.connection, told)
        try:
            self._limits.admit(request.connection, self.config)
        except RefusedError as error:
            return self._delayed(self._refused(request, dialect, query, error)), query
        config = self.config
        fault = self._faults.choose(told.devices, config.next_faults, config.device_faults, config.faults)
        if fault:
            self._books.strike(query, fault.kind, str(fault))
        if fault and not fault.processed:
            answer = effects.instead(fault, dialect, next(filter(None, told.devices), ""), told.contents)
            self._books.refuse(query, "fault", answer.status)
        else:
            answer = self._processed(request, dialect, told, query)
            if fault:
                answer = effects.spoiled(fault, dialect, answer)
        if fault and fault.retry_after is not None:
            answer = self._with_retry_after(answer, fault.retry_after)
        return self._delayed(answer), query

    def _processed(self, request: Request, dialect: Dialect, told: Told, query: Query) -> Answer:
        try:
            dialect.check(request, self.config, self._clock.wall())
            job_id = self._jobs.find(told) if told.nonce else None
        except RefusedError as error:
            return self._refused(request, dialect, query, error)
        if job_id:
            self._books.repeat(query, job_id)
        else:
            job_id = self._jobs.open(told) if told.nonce else None
            self._books.accept(query, job_id)
            self._answer_for(told.devices, "v4" if dialect is CUBE_V4 else "csss")
        return Answer(200, dialect.success(job_id))

    def _answer_for(self, devices: Sequence[str | None], kind: str) -> None:
        """Have those devices answer that answer each message: it is listed, and called back if there is an address."""
        for device in filter(None, devices):
            if text := self.config.reply_devices.get(device):
                at = int(self._clock.wall() * 1000)
                self._replies.add({"simId": device, "content": text, "receivedAt": at})
                if self.config.callback_url:
                    self._callbacks.send(MobileMessage(device, text, at, kind), self.config)

    def _list(self, request: Request, kind: str, sim: str) -> Answer:
        """Answer with a page of the messages to a SIM, or from it."""
        self._books.read(request.connection)
        parameters = v4.query_parameters(request.query)
        try:
            self._limits.admit(request.connection, self.config)
            now = self._clock.wall()
            v4.check_signature(request, parameters, self.config, now)
            refuse_devices([sim], self.config)
            statuses = self.config.sent_statuses.get(sim, (1,))
            delay = self.config.receipt_delays.get(sim, self.config.receipt_delay)
            sent = lists.sent_items(self._books.accepted(sim), statuses, delay, now)
            data = lists.page(sent if kind == "mt" else self._replies.of(sim), parameters, now)
        except RefusedError as error:
            return self._delayed(self._refused(request, CUBE_V4, None, error))
        return self._delayed(Answer(200, CUBE_V4.envelope("CB-00-0000", "Success", data)))

    def _refused(self, request: Request, dialect: Dialect, query: Query | None, error: RefusedError) -> Answer:
        answer = refusal(dialect, error, request.headers.get("accept-language", ""))
        if self.config.envelope_only:
            answer = replace(answer, status=200)
        if query:
            self._books.refuse(query, error.reason, answer.status)
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

    def _administer(self, request: Request) -> Answer:
        """Answer under `/_`, where no limit counts."""
        match request.method, request.path:
            case "GET", "/_health":
                return as_json(200, {"status": "ok"})
            case "GET", "/_stats":
                return as_json(200, {**self._books.stats(), "quotaUsed": self._limits.quota_used()})
            case "GET", "/_requests":
                return as_json(200, self._books.requests(parse_qs(request.query).get("deviceId", [None])[0]))
            case "GET", "/_config":
                return as_json(200, {**self.config.shown(), "seed": self.seed})
            case "PUT", "/_config":
                return self._configure(request.body)
            case "POST", "/_replies":
                return self._reply(request.body)
            case "GET" | "POST", "/_callbacks":
                return self._call_back(request)
            case "POST", "/_reset":
                self._reset()
                return as_json(200, {"status": "reset"})
            case _, "/_health" | "/_stats" | "/_requests" | "/_config" | "/_replies" | "/_callbacks" | "/_reset":
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

    def _reply(self, body: bytes) -> Answer:
        try:
            self._replies.add(signature.parse(body))
        except ValueError as error:
            return as_json(400, {"error": str(error)})
        return as_json(200, {"status": "added"})

    def _call_back(self, request: Request) -> Answer:
        if request.method == "GET":
            return as_json(200, self._callbacks.shown())
        try:
            given = signature.parse(request.body).get("callbacks")
            messages = [MobileMessage.read(each) for each in (given if isinstance(given, list) else [given])]
            if not self.config.callback_url:
                raise ValueError("callbackUrl is not set")
        except ValueError as error:
            return as_json(400, {"error": str(error)})
        for message in messages:
            self._callbacks.send(message, self.config)
        return as_json(200, {"callbacks": len(messages)})

    def _reset(self) -> None:
        """Clear the request log and the use of limits, and play the faults of the configuration from the start."""
        self._books.reset()
        self._jobs.reset()
        self._replies.reset()
        self._callbacks.reset()
        self._limits.reset()
        self._faults.rewind()
        self.config.next_faults.clear()
        for script in self.config.device_faults.values():
            script.used = 0


def _not_allowed(method: str) -> Answer:
    return as_json(405, {"error": "method not allowed"}, (("Allow", method),))
