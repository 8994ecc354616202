"""The ways to talk to the provider: what a request says, what is wrong with it, and how it is answered."""

import json
from typing import Protocol

from local.cube_simulator import checks, signature, v4
from local.cube_simulator.answers import REASONS, Answer, RefusedError, Wording
from local.cube_simulator.config import Config
from local.cube_simulator.request import Request, Told, text


class Dialect(Protocol):
    """One way to talk to the provider."""

    @property
    def is_english(self) -> bool:
        """Whether that is the language where a request asks for none."""

    def told(self, request: Request) -> Told:
        """Return what can be read of a request before it is checked."""

    def check(self, request: Request, config: Config, now: float) -> None:
        """Check a request whole.

        Raises
        ------
        RefusedError
            With the reason of the first check that fails.
        """

    def envelope(self, code: str, message: str) -> bytes:
        """Return the envelope of a failure."""

    def success(self, job_id: str | None) -> bytes:
        """Return the envelope of a success."""

    def code_of(self, wording: Wording) -> str:
        """Return the code of a reason to refuse."""

    def code_of_status(self, status: int) -> str:
        """Return the code that goes with an HTTP status."""


class Csss:
    """``POST …/sms/sendSms``."""

    is_english = False

    def told(self, request: Request) -> Told:
        """Return what can be read of a request before it is checked."""
        parameters = _readable(request.body)
        items = parameters.get("smsContentList")
        return Told(
            devices=[text(parameters.get("deviceId"))],
            account=text(parameters.get("access_code")),
            message_type=text(parameters.get("messageType")),
            contents=[
                text(item.get("smsTemplateContent"))
                for item in (items if isinstance(items, list) else [])
                if isinstance(item, dict)
            ],
        )

    def check(self, request: Request, config: Config, now: float) -> None:
        """Check a request whole."""
        checks.check(request.body, request.headers.get("content-type", ""), config, now)

    def envelope(self, code: str, message: str) -> bytes:
        """Return the envelope of a failure."""
        return _json({"code": code, "data": None, "message": message, "success": False})

    def success(self, job_id: str | None) -> bytes:
        """Return the envelope of a success, which names no job."""
        return _json({"code": "0000", "data": None, "message": "success", "success": True})

    def code_of(self, wording: Wording) -> str:
        """Return the code of a reason to refuse."""
        return wording.code

    def code_of_status(self, status: int) -> str:
        """Return the code that goes with an HTTP status."""
        return f"9{status}"


class V4:
    """``POST …/sms``."""

    is_english = True

    def told(self, request: Request) -> Told:
        """Return what can be read of a request before it is checked."""
        return v4.told(request, _readable(request.body))

    def check(self, request: Request, config: Config, now: float) -> None:
        """Check a request whole."""
        v4.check(request, config, now)

    def envelope(self, code: str, message: str, data: object = None) -> bytes:
        """Return the envelope of a failure."""
        return _json({"data": data, "status": {"code": code, "message": message, "detail": []}})

    def success(self, job_id: str | None) -> bytes:
        """Return the envelope of a success."""
        return self.envelope("CB-00-0000", "Success", {"job_id": job_id})

    def code_of(self, wording: Wording) -> str:
        """Return the code of a reason to refuse."""
        return wording.v4_code

    def code_of_status(self, status: int) -> str:
        """Return the code that goes with an HTTP status."""
        return f"CB-99-9{status}"


CSSS, CUBE_V4 = Csss(), V4()


def refusal(dialect: Dialect, error: RefusedError, language: str) -> Answer:
    """Return the answer to a refused request, without a Retry-After header."""
    wording = REASONS[error.reason]
    language = language.strip().lower()
    is_english = language.startswith("en") or (dialect.is_english and not language)
    message = wording.english if is_english else wording.chinese
    body = dialect.envelope(dialect.code_of(wording), f"{message}: {error.detail}" if error.detail else message)
    return Answer(wording.status, body)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _readable(body: bytes) -> signature.Parameters:
    try:
        return signature.parse(body)
    except ValueError:
        return {}
