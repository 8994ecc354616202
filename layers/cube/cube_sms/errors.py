"""Errors of the gateway: what one POST to Cube can come to, and what can be wrong before it."""

from __future__ import annotations

from typing import Literal, NamedTuple

type GateReason = Literal["busy", "probing", "throttled", "unavailable", "quota"]


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
    """An input with one or more faults, all of them reported at once.

    Parameters
    ----------
    faults : list[Fault]
        The faults, at least one.
    """

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults


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


class GateClosedError(Exception):
    """Nothing may be sent now: the provider's limits are used up, or it is not to be asked.

    Parameters
    ----------
    reason : {"busy", "probing", "throttled", "unavailable", "quota"}
        Why: every slot is taken for longer than there is time to wait, another worker is finding out whether Cube is
        back, Cube answered 429, Cube was unavailable several times in a row, or the day's quota is spent.
    until : float
        Seconds since the epoch from when on it is worth another try.
    """

    def __init__(self, reason: GateReason, until: float) -> None:
        super().__init__(f"not sent: the gate is closed ({reason})")
        self.reason = reason
        self.until = until


class ConnectionsTakenError(GateClosedError):
    """Nothing was sent: other calls have every connection to Cube that the API may open.

    Parameters
    ----------
    until : float
        Seconds since the epoch from when on it is worth another try.
    """

    def __init__(self, until: float) -> None:
        super().__init__("busy", until)

    def __str__(self) -> str:
        return "not sent: every connection to Cube is taken"


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
        The provider's code and message, where the answer was an envelope.
    retry_after : float or None
        Seconds the provider asks to wait.
    latency : float
        Seconds from the start of the POST to its end.
    left_after : float
        Seconds from the start of the POST until the request had left; 0 where it did not.
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
        left_after: float = 0.0,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.latency = latency
        self.left_after = left_after


class CubeRejected(CubeError):  # noqa: N818 - the taxonomy's own name
    """Cube said no: a well-formed envelope without success, or HTTP 400. Not to be repeated."""


class CubeAuthenticationError(CubeError):
    """Cube did not accept the credentials: HTTP 401 or 403."""


class CubeThrottled(CubeError):  # noqa: N818 - the taxonomy's own name
    """Cube's rate, connection or quota limit: HTTP 429."""


class CubeUnavailable(CubeError):  # noqa: N818 - the taxonomy's own name
    """Provably not processed: no connection, a failed TLS handshake, HTTP 502 or 503."""


class CubeOutcomeUnknown(CubeError):  # noqa: N818 - the taxonomy's own name
    """The request left and no answer tells what became of it."""
