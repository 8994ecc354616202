"""What an answer of Cube means, and which of its words may be kept. A dialect says how its answers look."""

from __future__ import annotations

import json
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from cube_sms.request import mask_device_id

from .base import (
    CubeAuthenticationError,
    CubeError,
    CubeOutcomeUnknown,
    CubeRejected,
    CubeThrottled,
    CubeUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cube_sms.platform import Meaning

    from .base import Listing, Query
    from .http import Answer

    type Asked = Query[Any] | Listing[Any]

# What is kept of the provider's code and words, for a record, a log line and an attribute of a dead letter.
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
    """What an answer says, as far as it is read.

    Parameters
    ----------
    code : str
        The provider's code.
    says_yes, says_no : bool
        Whether it reports a success, and whether a failure. One that contradicts itself reports neither.
    message : str or None
        The provider's words, as far as they can be decoded.
    job_id : str or None
        The provider's name for what it has accepted.
    """

    code: str
    says_yes: bool
    says_no: bool
    message: str | None = None
    job_id: str | None = None


class Form(NamedTuple):
    """How the answers of a dialect look.

    Parameters
    ----------
    success_code : str
        The code of a success.
    read : Callable[[bytes], Envelope or None]
        Reads the body of an answer, if it is legible.
    meanings : Mapping[str, type[CubeError]]
        What the codes mean that the provider publishes.
    code_decides : bool
        Whether a code that is known holds under any status. Otherwise a server that broke may say anything.
    """

    success_code: str
    read: Callable[[bytes], Envelope | None]
    meanings: Mapping[str, type[CubeError]]
    code_decides: bool


class Interpreter:
    """Reads answers as a deployment wants them read.

    Parameters
    ----------
    form : Form
        How they look.
    codes : Mapping[str, Meaning]
        What the deployment knows of codes and statuses, beside what the provider publishes.
    keeps_messages : bool
        Whether the provider's words are kept, without literal quotes of the request.

    Raises
    ------
    ValueError
        If the deployment takes the code of success for another one.
    """

    def __init__(self, form: Form, codes: Mapping[str, Meaning], *, keeps_messages: bool) -> None:
        if form.success_code in codes:
            raise ValueError(f"{form.success_code} is the code of success")
        self._form = form
        self._codes = {**form.meanings, **{code: _ERROR_OF_MEANING[meaning] for code, meaning in codes.items()}}
        self._keeps_messages = keeps_messages

    def read(self, answer: Answer, query: Asked, now: float) -> Envelope:
        """Return what the provider says of a query that it accepted.

        Parameters
        ----------
        answer : Answer
            The answer.
        query : Query or Listing
            The query.
        now : float
            Seconds since the epoch.

        Returns
        -------
        Envelope
            For HTTP 200 with an envelope that says yes, and for nothing else. It has words only if they are kept.

        Raises
        ------
        CubeError
            One of its subclasses for any other answer.
        """
        envelope = self._form.read(answer.body)
        message = self._kept_message(envelope, query)
        if envelope and envelope.says_yes and answer.status == 200:
            return envelope._replace(message=message)
        kind, reason = self._meaning(answer, envelope, now)
        raise kind(
            reason,
            status=answer.status,
            code=self._kept_code(envelope, query),
            message=message,
            retry_after=_retry_after(answer.retry_after, now),
        )

    def kept(self, envelope: Envelope, query: Asked) -> tuple[str | None, str | None]:
        """Return what may be kept of the provider's words for a failure.

        Parameters
        ----------
        envelope : Envelope
            What the provider says.
        query : Query or Listing
            What it is about.

        Returns
        -------
        tuple of str or None
            The code, and the words if they are kept.
        """
        return self._kept_code(envelope, query), self._kept_message(envelope, query)

    def _meaning(self, answer: Answer, envelope: Envelope | None, now: float) -> tuple[type[CubeError], str]:
        status = answer.status
        reason = f"HTTP {status}"
        # A server that broke, or sent us elsewhere, may say anything; another one that says no means it.
        is_meant = status < 300 or 400 <= status < 500
        says_no = envelope is not None and envelope.says_no
        known = None
        if envelope and says_no and (is_meant or self._form.code_decides):
            known = self._codes.get(envelope.code)
        # A code that leaves it open what became of the query gives way to a status that does not.
        if known and known.outcome != "unknown":
            return known, f"{reason}, without success"
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
        if says_no and (known or is_meant):
            return known or CubeRejected, f"{reason}, without success"
        if status == 200:
            return CubeOutcomeUnknown, "the envelope contradicts itself" if envelope else "the answer is no envelope"
        return CubeOutcomeUnknown, reason

    def _kept_message(self, envelope: Envelope | None, query: Asked) -> str | None:
        if not (self._keeps_messages and envelope and envelope.message):
            return None
        return _redact(envelope.message, query)

    def _kept_code(self, envelope: Envelope | None, query: Asked) -> str | None:
        if envelope is None:
            return None
        code = envelope.code
        if code in self._codes:
            return code
        if self._keeps_messages:
            # It goes into an attribute of a dead letter, for which SQS takes no control characters and no empty text.
            return "".join(filter(str.isprintable, _redact(code, query)))[:MAX_CODE_LENGTH] or REDACTED
        number = code.rpartition("-")[2]
        is_quoted = any(number in _digits(hidden) for hidden in _hidden(query))
        return code if _SAFE_CODE.fullmatch(code) and not is_quoted else REDACTED


def read_members(body: bytes) -> tuple[tuple[str, Any], ...] | None:
    """Return the members of an answer's JSON object, where it is legible.

    Parameters
    ----------
    body : bytes
        JSON in UTF-8, UTF-16 or UTF-32, with or without a byte order mark, or in GBK. The bytes decide which,
        because ``Content-Type`` is often wrong.

    Returns
    -------
    tuple of tuple, or None
        Names and values. An object within is such a tuple too, so that a member that is there twice shows.

    Examples
    --------
    >>> read_members('{"message":"设备不存在"}'.encode("gbk"))
    (('message', '设备不存在'),)
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
        return members if isinstance(members, tuple) else None
    return None


def once(members: tuple[tuple[str, Any], ...], *names: str) -> bool:
    """Return whether each of some members is there, and once."""
    return sorted(name for name, _ in members if name in names) == sorted(names)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _retry_after(value: str | None, now: float) -> float | None:
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _hidden(query: Asked) -> set[str]:
    return {*query.texts, *query.credentials.hidden}


def _digits(text: str) -> str:
    return "".join(str(int(character)) for character in text if character.isdecimal())


def _redact(text: str, query: Asked) -> str:
    # The longest first, or a text within another one would leave the rest of it.
    for hidden in sorted(_hidden(query), key=len, reverse=True):
        if hidden in text:
            # A short one is looked for as a word of its own, or it would tear up every word that happens to hold it.
            pattern = re.escape(hidden) if len(hidden) > 3 else rf"(?<!\w){re.escape(hidden)}(?!\w)"
            text = re.sub(pattern, REDACTED, text, flags=re.ASCII)
    for device_id in query.device_ids:
        text = text.replace(device_id, mask_device_id(device_id))
    # JSON can hold half of a surrogate pair, which has no form in UTF-8.
    return text[:MAX_MESSAGE_LENGTH].encode(errors="replace").decode()
