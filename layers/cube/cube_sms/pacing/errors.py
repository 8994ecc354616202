"""Why a message is not sent now."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Literal

from cube_sms.platform import ApiAnswer, NotPostedError, metrics, rfc3339

if TYPE_CHECKING:
    from .pause import Pause

type GateReason = Literal["probing", "throttled", "unavailable", "quota", "reserve"]

# Why nothing is sent, as logs tell it.
type ClosedReason = GateReason | Literal["paused"]


_DETAIL = "{error}; try again after Retry-After seconds, or have it queued with Prefer: respond-async"
_AWAY = ApiAnswer(503, "Cube is unavailable", _DETAIL, is_later=True)


class NotNowError(NotPostedError, is_abstract=True):
    """The message cannot be sent now. Nothing is wrong with it, and no attempt is used up.

    Parameters
    ----------
    why : str
        Why.
    until : float
        Seconds since the epoch from when on it is worth another try.
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
    """The gate is open, and every slot is taken for longer than there is time to wait.

    Parameters
    ----------
    until : float
        Seconds since the epoch from when on a slot may be free.
    """

    metric = None

    def __init__(self, until: float) -> None:
        super().__init__("all slots are busy for longer than this message can wait", until)


_WHY_CLOSED: dict[GateReason, str] = {
    "probing": "another message is probing whether Cube is back",
    "throttled": "Cube has throttled us, and sending pauses",
    "unavailable": "Cube is unavailable, and sending pauses",
    "quota": "the day's quota is used up",
    "reserve": "the rest of the day's quota is reserved for messages that are not bulk",
}


class GateClosedError(NotNowError):
    """The gate is closed: the day's quota, or what of it is for bulk messages, is used up, or Cube is not to be asked.

    Parameters
    ----------
    reason : {"probing", "throttled", "unavailable", "quota", "reserve"}
        Why: another worker is finding out whether Cube is back, Cube answered 429, Cube was unavailable several times
        in a row, the day's quota is used up, or the rest of it is for messages that are not bulk.
    until : float
        Seconds since the epoch from when on it is worth another try.
    """

    # The state of the gate has one, once for each invocation.
    metric = None

    def __init__(self, reason: GateReason, until: float) -> None:
        # It was read from the table, where somebody may have written another.
        super().__init__(_WHY_CLOSED.get(reason, "sending pauses"), until)
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
    # The state of the gate has one, once for each invocation.
    metric = None

    def __init__(self, pause: Pause, now: float) -> None:
        end = "" if pause.until == inf else f" until {rfc3339(pause.until)}"
        super().__init__(f"sending is paused{end} ({pause.reason})", pause.worth_a_try_at(now))


class AccountClosedError(NotNowError):
    """The gate is closed for the message's account, which got one and the same unknown code for everything.

    Parameters
    ----------
    until : float
        Seconds since the epoch from when on it is worth another try.
    """

    answer = ApiAnswer(503, "The account is closed", _DETAIL, is_later=True)
    # The state of the gate has one, once for each invocation.
    metric = None

    def __init__(self, until: float) -> None:
        super().__init__("Cube has rejected one message of the account after the other with one code", until)


class ConnectionsTakenError(NotNowError):
    """Other calls have every connection to Cube that the API may open.

    Parameters
    ----------
    until : float
        Seconds since the epoch from when on it is worth another try.
    """

    metric = metrics.API_CALLS_TURNED_AWAY

    def __init__(self, until: float) -> None:
        super().__init__("every connection to Cube is taken", until)
