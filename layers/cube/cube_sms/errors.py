"""Errors of the gateway: what one POST to Cube can come to, and what can be wrong before it."""

from __future__ import annotations

from typing import Literal, NamedTuple

type GateReason = Literal["probing", "throttled", "unavailable", "quota"]

# Faults that are told one by one. An input may have them by the thousand; an answer and a line of the log have limits.
MAX_FAULTS = 20


class Fault(NamedTuple):
    """One thing that is wrong with an input.

    Parameters
    ----------
    path : str
        Where: a field's name, with indices for what lies below it, such as ``smsContentList[0].smsNum``; ``$`` for the
        whole input.
    message : str
        What is wrong. Never quotes the value.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class FaultsError(ValueError):
    """An input with one or more faults, reported at once.

    Parameters
    ----------
    faults : list[Fault]
        The faults, at least one.

    Attributes
    ----------
    faults : list[Fault]
        The first `MAX_FAULTS` of them.
    more : int
        How many there are beside these.
    """

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults[:MAX_FAULTS]
        self.more = len(faults) - len(self.faults)
        # The number comes first, because a reader may cut the text.
        count = f"{len(faults)} faults, the first {MAX_FAULTS}: " if self.more else ""
        super().__init__(count + "; ".join(map(str, self.faults)))


class InvalidRequestError(FaultsError):
    """The send request is not valid.

    Parameters
    ----------
    faults : list[Fault]
        The faults, at least one.
    request_id : str, optional
        The request's own id, where that much of it is valid.
    task_token : str, optional
        Its task token, likewise.
    """

    def __init__(self, faults: list[Fault], request_id: str | None = None, task_token: str | None = None) -> None:
        super().__init__(faults)
        self.request_id = request_id
        self.task_token = task_token


class SettingsError(FaultsError):
    """The environment of the function is not valid."""


class InvalidCampaignError(Exception):
    """A campaign cannot be meant as it is, and nothing of it is sent.

    Parameters
    ----------
    sentence : str
        What was found and what is wanted. It may quote the file's first line, and so belongs into no log.
    part : {"input", "encoding", "header", "quotes"}
        Which part of the campaign it is about.
    """

    def __init__(self, sentence: str, part: Literal["input", "encoding", "header", "quotes"]) -> None:
        super().__init__(sentence)
        self.part = part


class RequestConflictError(Exception):
    """The request's id belongs to a different request.

    Parameters
    ----------
    request_id : str
        The id.
    """

    def __init__(self, request_id: str) -> None:
        super().__init__(f"requestId: {request_id} belongs to a different request")
        self.request_id = request_id


class RecordsUnavailableError(Exception):
    """The table of records cannot be reached, or refuses."""


class RecordDeletedError(RecordsUnavailableError):
    """Somebody has deleted the record between two writes."""


class SpoiledRecordError(FaultsError):
    """An item of the table of records is not as the gateway writes it: somebody has changed it by hand.

    Parameters
    ----------
    message_id : str
        The item's key.
    faults : list[Fault]
        What is wrong with its attributes.
    """

    def __init__(self, message_id: str, faults: list[Fault]) -> None:
        super().__init__(faults)
        self.message_id = message_id

    @property
    def request_id(self) -> str:
        """The request's own id."""
        return self.message_id.partition("#")[2]


class NotNowError(Exception):
    """The message cannot be sent now. Nothing is wrong with it, and no attempt is used up.

    Parameters
    ----------
    why : str
        Why.
    until : float
        Seconds since the epoch from when on it is worth another try.
    """

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

    def __init__(self, until: float) -> None:
        super().__init__("all slots are busy for longer than this message can wait", until)


_WHY_CLOSED: dict[GateReason, str] = {
    "probing": "another message is probing whether Cube is back",
    "throttled": "Cube has throttled us, and sending pauses",
    "unavailable": "Cube is unavailable, and sending pauses",
    "quota": "the day's quota is used up",
}


class GateClosedError(NotNowError):
    """The gate is closed for everybody: the day's quota is used up, or Cube is not to be asked.

    Parameters
    ----------
    reason : {"probing", "throttled", "unavailable", "quota"}
        Why: another worker is finding out whether Cube is back, Cube answered 429, Cube was unavailable several times
        in a row, or the day's quota is used up.
    until : float
        Seconds since the epoch from when on it is worth another try.
    """

    def __init__(self, reason: GateReason, until: float) -> None:
        # It was read from the table, where somebody may have written another.
        super().__init__(_WHY_CLOSED.get(reason, "sending pauses"), until)
        self.reason = reason


class ConnectionsTakenError(NotNowError):
    """Other calls have every connection to Cube that the API may open.

    Parameters
    ----------
    until : float
        Seconds since the epoch from when on it is worth another try.
    """

    def __init__(self, until: float) -> None:
        super().__init__("every connection to Cube is taken", until)


class CredentialsError(Exception):
    """The account's credentials cannot be had; the message names what is missing and never shows a value."""


class UnknownAccountError(CredentialsError):
    """The secret holds no credentials for the account."""


class CubeError(Exception):
    """A POST to Cube that was not answered with success.

    Parameters
    ----------
    reason : str
        What happened, in our words.
    status : int or None
        The HTTP status, where there was one.
    code, message : str or None
        The provider's code, where the answer was an envelope, and its words, where they are kept.
    retry_after : float or None
        Seconds the provider asks to wait.
    latency : float
        Seconds from the start of the POST to its end; 0 if there was none, since no connection came about.
    """

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        code: str | None = None,
        message: str | None = None,
        retry_after: float | None = None,
        latency: float = 0.0,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.latency = latency


class CubeRejected(CubeError):  # noqa: N818 - the taxonomy's own name
    """Cube said no: an envelope that says so with a code that is not listed, or HTTP 400. Not to be repeated."""


class CubeAuthenticationError(CubeError):
    """Cube did not accept the credentials: HTTP 401 or 403, or a code that is listed as such."""


class CubeThrottled(CubeError):  # noqa: N818 - the taxonomy's own name
    """Cube's rate, connection or quota limit: HTTP 429, or a code that is listed as such."""


class CubeUnavailable(CubeError):  # noqa: N818 - the taxonomy's own name
    """Not processed: no connection, HTTP 503 with ``Retry-After``, or a code or status that is listed as such."""


class CubeOutcomeUnknown(CubeError):  # noqa: N818 - the taxonomy's own name
    """The request left and no answer tells what became of it.

    HTTP 5xx is such an answer: a gateway gives it too when the server behind it dies after it has committed.
    """
