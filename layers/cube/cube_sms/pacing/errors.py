"""Why a message is not sent now."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Literal

from cube_sms.platform import ApiAnswer, NotPostedError, metrics, rfc3339

if TYPE_CHECKING:
    from .pause import Pause

type GateReason = Literal["probing", "throttled", "unavailable", "quota", "reserve"]

# Why nothing is sent, as the logs show it.
type ClosedReason = GateReason | Literal["paused"]


_DETAIL = "{error}; try again after Retry-After seconds, or have it queued with Prefer: respond-async"
_AWAY = ApiAnswer(503, "Cube is unavailable", _DETAIL, is_later=True)


class NotNowError(NotPostedError, is_abstract=True):
    """The message has to wait. It has no fault, and uses up no attempt.

    Parameters
    ----------
    why : str
        Why it has to wait.
    until : float
        Seconds since the epoch: when another try makes sense.
    """

    state = "RETRYING"
    answer = ApiAnswer(429, "Too many requests", _DETAIL, is_later=True)
    letter = None
    log = None
    until: float

    def __init__(self, why: str, until: float) -> None:
        super().__init__(f"not sent: {why}")
        self.until = until


class NoSlotError(NotNowError):
    """The gate is open, but all slots are taken for longer than the message can wait.

    Parameters
    ----------
    until : float
        Seconds since the epoch: when a slot may be free.
    """

    remedy = "Call again after Retry-After, or have the message queued. Messages on the queue wait by themselves."
    metric = None

    def __init__(self, until: float) -> None:
        super().__init__("all slots are busy for longer than this message can wait", until)


_WHY_CLOSED: dict[GateReason, str] = {
    "probing": "another message is probing whether Cube works again",
    "throttled": "Cube has throttled queries",
    "unavailable": "Cube is unavailable",
    "quota": "the day's quota is used up",
    "reserve": "the rest of the day's quota is reserved for messages that are not bulk",
}


class GateClosedError(NotNowError):
    """The gate is closed after answers of Cube, or because the daily quota allows no further query.

    Parameters
    ----------
    reason : {"probing", "throttled", "unavailable", "quota", "reserve"}
        Why. `probing`: another worker finds out whether Cube works again. `throttled`: Cube answered 429.
        `unavailable`: Cube was unavailable several times in a row. `quota`: the daily quota is used up. `reserve`: the
        rest of it is for messages that are not bulk.
    until : float
        Seconds since the epoch: when another try makes sense.
    """

    remedy = "Wait: the gate opens by itself. If it stays closed, docs/runbook.md#gate-closed says what to look at."
    # The state of the gate has a metric, once for each invocation.
    metric = None

    def __init__(self, reason: GateReason, until: float) -> None:
        # The reason comes from the table, and an operator may have written another one there.
        super().__init__(_WHY_CLOSED.get(reason, "the gate is closed"), until)
        self.reason = reason
        if reason in ("unavailable", "probing"):
            self.answer = _AWAY


class PausedError(NotNowError):
    """An operator has paused all sending.

    Parameters
    ----------
    pause : Pause
        The pause.
    now : float
        Seconds since the epoch.
    """

    answer = ApiAnswer(503, "Sending is paused", _DETAIL, is_later=True)
    remedy = "Wait for the end of the pause. An operator ends it with `cube-sms resume`."
    # The state of the gate has a metric, once for each invocation.
    metric = None

    def __init__(self, pause: Pause, now: float) -> None:
        end = "" if pause.until == inf else f" until {rfc3339(pause.until)}"
        super().__init__(f"sending is paused{end} ({pause.reason})", pause.worth_a_try_at(now))


class AccountClosedError(NotNowError):
    """The gate is closed for the account: Cube rejected its messages one after the other with one unknown code.

    Parameters
    ----------
    until : float
        Seconds since the epoch: when another try makes sense.
    """

    answer = ApiAnswer(503, "The account is closed", _DETAIL, is_later=True)
    remedy = "Check the credentials of the account, and what the code means. See docs/runbook.md#accounts-closed."
    # The state of the gate has a metric, once for each invocation.
    metric = None

    def __init__(self, until: float) -> None:
        super().__init__("Cube has rejected the account's messages one after the other with one code", until)


class ConnectionsTakenError(NotNowError):
    """Other calls use all connections to Cube that the API may open.

    Parameters
    ----------
    until : float
        Seconds since the epoch: when another try makes sense.
    """

    remedy = (
        "Call again after Retry-After, or have the message queued. If your contract allows more, raise "
        "CubeMaxConnections."
    )
    metric = metrics.API_CALLS_TURNED_AWAY

    def __init__(self, until: float) -> None:
        super().__init__("every connection to Cube is taken", until)
