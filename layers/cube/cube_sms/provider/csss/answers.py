"""What an answer of Cube means, and which of its words may be kept."""

from __future__ import annotations

import json
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from cube_sms.provider.base import (
    CubeAuthenticationError,
    CubeError,
    CubeOutcomeUnknown,
    CubeRejected,
    CubeThrottled,
    CubeUnavailable,
)
from cube_sms.request import mask_device_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cube_sms.platform import Meaning
    from cube_sms.provider.http import Answer
    from cube_sms.request import SendRequest

    from .credentials import CsssCredentials

SUCCESS_CODE = "0000"
MAX_CODE_LENGTH = 32
MAX_MESSAGE_LENGTH = 256
REDACTED = "[redacted]"

_ERROR_OF_MEANING: dict[Meaning, type[CubeError]] = {
    "authentication": CubeAuthenticationError,
    "throttled": CubeThrottled,
    "unavailable": CubeUnavailable,
}

# The codes that the provider publishes are of this form, and little of a message fits into it.
_SAFE_CODE = re.compile(r"(CB-[0-9]{2}-)?[0-9]{3,6}")


class Envelope(NamedTuple):
    """The provider's form of an answer, as far as it is read.

    Parameters
    ----------
    code : str
        "0000" for success.
    success : bool
        Whether it was one.
    message : str or None
        The provider's words, as far as they can be decoded.
    """

    code: str
    success: bool
    message: str | None = None

    @property
    def says_yes(self) -> bool:
        """Whether it tells of a success."""
        return self.success and self.code == SUCCESS_CODE

    @property
    def says_no(self) -> bool:
        """Whether it tells of a failure. An envelope that contradicts itself says neither yes nor no."""
        return not self.success and self.code != SUCCESS_CODE


class Interpreter:
    """Reads answers as a deployment wants them read.

    Parameters
    ----------
    codes : Mapping[str, Meaning]
        What the deployment knows of codes and statuses.
    keeps_messages : bool
        Whether the provider's words are kept, without what they quote letter for letter.
    """

    def __init__(self, codes: Mapping[str, Meaning], *, keeps_messages: bool) -> None:
        if SUCCESS_CODE in codes:
            raise ValueError(f"{SUCCESS_CODE} is the code of success")
        self._codes = {code: _ERROR_OF_MEANING[meaning] for code, meaning in codes.items()}
        self._keeps_messages = keeps_messages

    def read(self, answer: Answer, credentials: CsssCredentials, request: SendRequest, now: float) -> str | None:
        """Return the provider's words for a request that it accepted.

        Parameters
        ----------
        answer : Answer
            The answer.
        credentials : CsssCredentials
            What the request was signed with.
        request : SendRequest
            The request.
        now : float
            Seconds since the epoch.

        Returns
        -------
        str or None
            For HTTP 200 with ``success`` true and ``code`` "0000", and for nothing else. None where they are not kept.

        Raises
        ------
        CubeError
            One of its subclasses for any other answer.
        """
        envelope = read_envelope(answer.body)
        message = self._kept_message(envelope, credentials, request)
        if envelope and envelope.says_yes and answer.status == 200:
            return message
        kind, reason = self._meaning(answer, envelope, now)
        raise kind(
            reason,
            status=answer.status,
            code=self._kept_code(envelope, credentials, request),
            message=message,
            retry_after=_retry_after(answer.retry_after, now),
        )

    def _meaning(self, answer: Answer, envelope: Envelope | None, now: float) -> tuple[type[CubeError], str]:
        status = answer.status
        reason = f"HTTP {status}"
        # A server that broke, or sent us elsewhere, may say anything; another one that says no means it.
        says_no = envelope is not None and envelope.says_no and (status < 300 or 400 <= status < 500)
        if says_no and envelope and envelope.code in self._codes:
            return self._codes[envelope.code], f"{reason}, without success"
        if reason in self._codes:
            return self._codes[reason], reason
        match status:
            case 400:
                return CubeRejected, reason
            case 401 | 403:
                return CubeAuthenticationError, reason
            case 429:
                return CubeThrottled, reason
            # Who says when to come back has not begun. A gateway without a word of that may have lost an answer.
            case 503 if _retry_after(answer.retry_after, now) is not None:
                return CubeUnavailable, reason
        if says_no:
            return CubeRejected, f"{reason}, without success"
        if status == 200:
            return CubeOutcomeUnknown, "the envelope contradicts itself" if envelope else "the answer is no envelope"
        return CubeOutcomeUnknown, reason

    def _kept_message(
        self, envelope: Envelope | None, credentials: CsssCredentials, request: SendRequest
    ) -> str | None:
        if not (self._keeps_messages and envelope and envelope.message):
            return None
        return _redact(envelope.message, credentials, request)

    def _kept_code(self, envelope: Envelope | None, credentials: CsssCredentials, request: SendRequest) -> str | None:
        if envelope is None:
            return None
        code = envelope.code
        if code in self._codes:
            return code
        if self._keeps_messages:
            # It goes into an attribute of a dead letter, for which SQS takes no control characters and no empty text.
            return "".join(filter(str.isprintable, _redact(code, credentials, request)))[:MAX_CODE_LENGTH] or REDACTED
        number = code.rpartition("-")[2]
        is_quoted = any(number in _digits(hidden) for hidden in _hidden(credentials, request))
        return code if _SAFE_CODE.fullmatch(code) and not is_quoted else REDACTED


def read_envelope(body: bytes) -> Envelope | None:
    """Return what an answer says, where it is legible.

    Only the provider's words may be garbled. All else is read strictly: one JSON object that has ``code``, a string,
    and ``success``, a boolean, once each.

    Parameters
    ----------
    body : bytes
        JSON in UTF-8, UTF-16 or UTF-32, with or without a byte order mark, or in GBK. The bytes tell which: what
        ``Content-Type`` says of them is as often wrong as right.

    Returns
    -------
    Envelope or None
        None for anything else.

    Examples
    --------
    >>> read_envelope('{"code":"9404","message":"设备不存在","success":false}'.encode("gbk"))
    Envelope(code='9404', success=False, message='设备不存在')
    """
    encoding = json.detect_encoding(body)
    # In GBK the second byte of a character can be a backslash, so it has to be tried before its bytes are replaced.
    for name, errors in ((encoding, "strict"), ("gb18030", "strict"), (encoding, "replace")):
        try:
            text = body.decode(name, errors)
            # Numbers mean nothing here, and the longest would be refused as integers.
            members = json.loads(text, strict=False, object_pairs_hook=tuple, parse_int=float, parse_constant=_refuse)
        except (ValueError, RecursionError):
            continue
        return _envelope(members)
    return None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _envelope(members: Any) -> Envelope | None:
    # An object is a tuple of pairs here, so that a member that is there twice shows.
    if not isinstance(members, tuple):
        return None
    told = dict(members)
    if sorted(name for name, _ in members if name in ("code", "success")) != ["code", "success"]:
        return None
    code, success, message = told["code"], told["success"], told.get("message")
    if not (isinstance(code, str) and isinstance(success, bool)):
        return None
    return Envelope(code, success, message if isinstance(message, str) else None)


def _retry_after(value: str | None, now: float) -> float | None:
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _hidden(credentials: CsssCredentials, request: SendRequest) -> Iterable[str]:
    return (*request.texts, credentials.secret, credentials.access_code)


def _digits(text: str) -> str:
    return "".join(str(int(character)) for character in text if character.isdecimal())


def _redact(text: str, credentials: CsssCredentials, request: SendRequest) -> str:
    # The longest first, or a text within another one would leave the rest of it.
    for hidden in sorted(_hidden(credentials, request), key=len, reverse=True):
        if hidden in text:
            # A short one is looked for as a word of its own, or it would tear up every word that happens to hold it.
            pattern = re.escape(hidden) if len(hidden) > 3 else rf"(?<!\w){re.escape(hidden)}(?!\w)"
            text = re.sub(pattern, REDACTED, text, flags=re.ASCII)
    text = text.replace(request.device_id, mask_device_id(request.device_id))
    # JSON can hold half of a surrogate pair, which has no form in UTF-8.
    return text[:MAX_MESSAGE_LENGTH].encode(errors="replace").decode()
