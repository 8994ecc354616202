"""Settings of the functions, read from an environment with every fault reported at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NewType, Self, get_args, get_origin

import msgspec

from .errors import Fault, SettingsError
from .urls import parse_base_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

type Meaning = Literal["authentication", "throttled", "unavailable"]

AnswerCodes = NewType("AnswerCodes", dict[str, Meaning])
"""What the deployment knows of the provider's answers: by a code, or by a status as in "HTTP 503"."""

_LISTED_CODE = re.compile(r"[A-Za-z0-9._-]{1,32}|HTTP [45][0-9]{2}")

Limit = NewType("Limit", int)
"""A limit of the provider; 0 for none."""

Percent = NewType("Percent", int)
"""A share of a limit."""

Days = NewType("Days", int)
"""How long something is kept; 0 if it is not."""


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What everything that talks to the provider is set to.

    Each field is the environment variable of the same name in capitals.

    Parameters
    ----------
    cube_base_url, cube_v4_base_url : str
        Base URLs of the provider's API, for accounts that use csss and for those that use v4.
    cube_secret_id : str
        Name or ARN of the secret with the accounts' credentials.
    messages_table : str
        Name of the table of records.
    cube_max_qps, cube_daily_quota : Limit
        Queries a second and a day (UTC) that the provider allows, all workers together.
    cube_quota_reserve_percent : Percent
        Percent of the day's queries that bulk messages leave to the others.
    cube_max_connections : Limit
        Connections that the provider allows, all workers together. The functions leave none open behind them where
        there is a limit.
    api_connections : Limit
        Connections of them that the workers of the API have, all together, and those that follow up. Those of the queue
        have the rest, and AWS bounds how many they are.
    cube_connect_timeout, cube_read_timeout : float
        Seconds to connect, and for the whole answer after that.
    cube_language : {"zh-CN", "en-US"}
        Language of the provider's messages.
    cube_timestamp_unit : {"s", "ms"}
        Unit of the request's timestamp.
    cube_v4_signed_spaces : {"keep", "remove"}
        Whether spaces in the text that is signed for v4 are kept.
    cube_answer_codes : AnswerCodes
        What the provider's codes mean, as far as the deployment knows.
    keep_provider_messages : bool
        Whether the provider's words are logged and recorded.
    secret_max_age : float
        Seconds the credentials are kept before they are fetched again.
    record_retention_days : int
        Days a record is kept after its last claim.
    replies : {"off", "callback", "poll"}
        How the gateway learns what devices answer.
    """

    cube_base_url: str
    cube_secret_id: str
    messages_table: str
    cube_v4_base_url: str = "https://api-uat.io.linksfield.net/cube/v4"
    cube_max_qps: Limit = Limit(10)
    cube_daily_quota: Limit = Limit(5000)
    cube_quota_reserve_percent: Percent = Percent(10)
    cube_max_connections: Limit = Limit(3)
    api_connections: Limit = Limit(1)
    cube_connect_timeout: float = 3.0
    cube_read_timeout: float = 10.0
    cube_language: Literal["zh-CN", "en-US"] = "zh-CN"
    cube_timestamp_unit: Literal["s", "ms"] = "s"
    cube_v4_signed_spaces: Literal["keep", "remove"] = "keep"
    cube_answer_codes: AnswerCodes = AnswerCodes({})
    keep_provider_messages: bool = False
    secret_max_age: float = 300.0
    record_retention_days: int = 30
    replies: Literal["off", "callback", "poll"] = "off"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings.

        Parameters
        ----------
        environment : Mapping[str, str]
            Such as ``os.environ``. Variables that are no settings are passed over.

        Returns
        -------
        Settings
            The settings.

        Raises
        ------
        SettingsError
            With every variable that is missing or wrong.
        """
        values: dict[str, Any] = {}
        faults = []
        for field in msgspec.structs.fields(cls):
            name = field.name.upper()
            text = environment.get(name, "").strip()
            if text:
                try:
                    values[field.name] = _parse(text, field.type)
                    if field.name in ("cube_base_url", "cube_v4_base_url"):
                        parse_base_url(text)
                except ValueError as error:
                    faults.append(Fault(name, str(error)))
            elif field.required:
                faults.append(Fault(name, "is required"))
        if faults:
            raise SettingsError(faults)
        return cls(**values)


class Settings(ProviderSettings, frozen=True, kw_only=True):
    """What a deployment can set for the functions that take and send messages.

    Parameters
    ----------
    send_queue_url, dead_letter_queue_url, rejected_queue_url : str
        URLs of the queues: what is to be sent, what could not be, and what the provider refused.
    device_index : str
        Name of the table's index by device; empty if there is none.
    max_content_length : int
        The most characters of a text.
    max_attempts : int
        POSTs before a message is given up.
    queue_send_concurrency : int
        Messages of one invocation sent at the same time.
    queue_batch_size : int
        Messages that Lambda gives to one invocation at most.
    receipts : bool
        Whether the receipts of messages are asked for later, where the provider has any.
    **options
        See `ProviderSettings`.
    """

    send_queue_url: str
    dead_letter_queue_url: str
    rejected_queue_url: str
    device_index: str = ""
    max_content_length: int = 140
    max_attempts: int = 8
    queue_send_concurrency: int = 1
    queue_batch_size: int = 10
    receipts: bool = False


class FollowUpSettings(ProviderSettings, frozen=True, kw_only=True):
    """What a deployment can set for the function that asks later.

    Parameters
    ----------
    receipt_window_hours : int
        Hours after a message was sent for which its receipt is asked for.
    receipt_quota_percent : Percent
        Percent of the day's queries for receipts and replies, at most.
    event_bus : str
        Name of the event bus.
    device_history : bool
        Whether devices have a history.
    keep_replies : Days
        Days for which it says what a device has answered.
    **options
        See `ProviderSettings`.
    """

    event_bus: str
    receipt_window_hours: int = 72
    receipt_quota_percent: Percent = Percent(20)
    device_history: bool = False
    keep_replies: Days = Days(0)


def parse_answer_codes(text: str) -> AnswerCodes:
    """Read the lists of codes of a deployment.

    Parameters
    ----------
    text : str
        JSON: ``{"authentication": […], "throttled": […], "unavailable": […]}``, where each list may be absent.

    Returns
    -------
    AnswerCodes
        A meaning for each entry.

    Raises
    ------
    ValueError
        With the first fault. It does not quote the text.

    Examples
    --------
    >>> parse_answer_codes('{"throttled": ["9429"], "unavailable": ["HTTP 503"]}')["9429"]
    'throttled'
    """
    try:
        lists = msgspec.json.decode(text, type=dict[Meaning, list[str]])
    except (msgspec.MsgspecError, RecursionError):
        form = ", ".join(f'"{name}": […]' for name in get_args(Meaning.__value__))
        raise ValueError(f"must be JSON of the form {{{form}}}, with strings in the lists") from None
    codes: dict[str, Meaning] = {}
    for name, listed in lists.items():
        for index, code in enumerate(listed):
            if not _LISTED_CODE.fullmatch(code):
                form = '1 to 32 characters of A-Z, a-z, 0-9 and ._-, or a status such as "HTTP 503"'
                raise ValueError(f"{name}[{index}]: must be {form}")
            if code in codes:
                raise ValueError(f"{name}[{index}]: is listed twice")
            codes[code] = name
    return AnswerCodes(codes)


def _parse(text: str, kind: Any) -> object:
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise ValueError(f"must be one of {', '.join(get_args(kind))}")
        return text
    return _READERS[kind](text)


def _number[Number: (int, float)](kind: type[Number], form: str, told: str) -> Callable[[str], Number]:
    def read(text: str) -> Number:
        if not re.fullmatch(form, text):
            raise ValueError(f"must be {told}")
        return kind(text)

    return read


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


_READERS: dict[Any, Callable[[str], object]] = {
    str: str,
    bool: _flag,
    AnswerCodes: parse_answer_codes,
    Limit: _number(int, r"0|[1-9][0-9]{0,8}", "a whole number, or 0 for no limit"),
    Days: _number(int, r"0|[1-9][0-9]{0,3}", "a whole number of days, or 0"),
    Percent: _number(int, r"[0-9]|[1-8][0-9]|90", "a whole number from 0 to 90"),
    int: _number(int, r"[1-9][0-9]{0,8}", "a whole number of at least 1"),
    float: _number(float, r"(?!0+(\.0+)?$)[0-9]{1,9}(\.[0-9]{1,9})?", "a number of seconds greater than 0"),
}
