"""What can be wrong with an input, and what can keep a message from being sent.

Each class of `Obstacle` says all that the rest of the program decides by: nothing elsewhere asks which class it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from .metrics import Metric

# Faults that are listed one by one. An input may have thousands; an answer and a line of the log have limits.
MAX_FAULTS = 20


class Fault(NamedTuple):
    """One thing that is wrong with an input.

    Parameters
    ----------
    path : str
        A field's name, with indices for what is below it, such as ``smsContentList[0].smsNum``; ``$`` for the whole
        input.
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


class SettingsError(FaultsError):
    """The environment of the function is not valid."""


class ApiAnswer(NamedTuple):
    """How the API answers.

    Parameters
    ----------
    status : int
        HTTP status.
    title : str
        What kind of problem it is.
    detail : str
        What about it. ``{error}`` stands for the error's own text, for errors that name nothing of the deployment.
    is_later : bool
        Whether ``Retry-After`` says when to try again.
    """

    status: int
    title: str
    detail: str = "{error}"
    is_later: bool = False


class Obstacle(Exception):  # noqa: N818 - some are no errors: it is closed, or full
    """What keeps a message from being sent.

    Each class says all of the following, itself or by the class it inherits from. One that leaves something out raises
    `TypeError` when it is defined, unless it is abstract.

    Attributes
    ----------
    outcome : {"no", "unknown", "yes"}
        Whether the provider may have processed the message.
    state : str or None
        The state of the message after that; None if it is refused. With at-most-once and an unknown ``outcome`` the
        message is not tried again, whatever this says.
    gate : {"nothing", "opens", "counts", "closes"}
        What a query that ends so does to the gate. "opens": the provider has answered. "counts": it is one of several
        in a row that close the gate. "closes": the gate closes for all. A probe opens it or closes it again.
    account : {"nothing", "opens", "counts"}
        What a query that ends so does to the gate of its account. "counts": it is one of several in a row with one
        code that close the gate.
    answer : ApiAnswer
        How the API answers.
    remedy : str
        What to do about it, for the reference.
    metric : Metric or None
        What counts it.
    letter : str or None
        The reason that a dead letter gives, if no further try would change anything.
    renews_credentials : bool
        Whether the account's credentials are fetched again, and the query is repeated once.
    is_of_recipients : bool
        Whether it may be about some recipients of a query alone, so that the others are to be sent without them. If it
        is not, it holds for each message of the query.
    log : tuple of str, or None
        The level and the text of a log line of its own. If there is none, the line of the attempt reports it. If no
        attempt was made, it is unexpected.
    until : float or None
        Seconds since the epoch after which another try is useful, if nothing is wrong with the message and no attempt
        is used up.
    retry_after : float or None
        Seconds the provider asks to wait.
    status : int or None
        HTTP status of the provider's answer.

    Examples
    --------
    >>> class HalfAnError(NotPostedError):
    ...     state = "RETRYING"
    Traceback (most recent call last):
    TypeError: HalfAnError does not say: answer, remedy, metric, letter, log
    """

    outcome: ClassVar[Literal["no", "unknown", "yes"]]
    state: ClassVar[str | None]
    # Of some, an instance has these of its own.
    gate: Literal["nothing", "opens", "counts", "closes"]
    account: ClassVar[Literal["nothing", "opens", "counts"]]
    answer: ApiAnswer
    remedy: ClassVar[str]
    metric: ClassVar[Metric | None]
    letter: ClassVar[str | None]
    renews_credentials: ClassVar[bool]
    is_of_recipients: ClassVar[bool]
    log: ClassVar[tuple[Literal["warning", "error"], str] | None]

    until: float | None = None
    retry_after: float | None = None
    status: int | None = None

    def __init_subclass__(cls, *, is_abstract: bool = False) -> None:
        if not is_abstract and (missing := [name for name in POLICY if not hasattr(cls, name)]):
            raise TypeError(f"{cls.__name__} does not say: {', '.join(missing)}")

    @property
    def members(self) -> dict[str, Any]:
        """The members of a problem, in addition to its detail."""
        return {}

    @property
    def log_fields(self) -> dict[str, Any]:
        """The fields of its log line, in addition to its text."""
        return {}


POLICY = (
    "outcome",
    "state",
    "gate",
    "account",
    "answer",
    "remedy",
    "metric",
    "letter",
    "renews_credentials",
    "is_of_recipients",
    "log",
)
"""What each class of `Obstacle` has to say."""


class NotPostedError(Obstacle, is_abstract=True):
    """The provider was not asked."""

    outcome = "no"
    gate = "nothing"
    account = "nothing"
    renews_credentials = False
    is_of_recipients = False


class AwsUnavailableError(NotPostedError):
    """AWS is unavailable. The error's text may name resources of the deployment: only its log has it."""

    state = "RETRYING"
    answer = ApiAnswer(503, "The gateway is unavailable", "AWS is unavailable; try again", is_later=True)
    metric: ClassVar[Metric | None] = None
    remedy = (
        "The gateway tries again by itself. If this lasts, look for the error of AWS in the log: a service is "
        "unavailable, or a role or the key lacks a permission."
    )
    letter = None
    log = None


class RecordsUnavailableError(AwsUnavailableError):
    """The table of records cannot be reached, or refuses."""


class UnexpectedError(NotPostedError):
    """An unexpected error. Its text may quote anything, and is shown nowhere."""

    state = "RETRYING"
    answer = ApiAnswer(500, "Internal error", "the log says more, under the request's id")
    remedy = "Look in the log under the id of the request, and report the fault."
    metric = None
    letter = None
    log = None


def obstacle(error: Exception) -> Obstacle:
    """Return what an error is to a message.

    Parameters
    ----------
    error : Exception
        Any error.

    Returns
    -------
    Obstacle
        The error itself if it is one, or one that replaces it and shows nothing of it.

    Examples
    --------
    >>> obstacle(KeyError("text")).answer.title
    'Internal error'
    """
    if isinstance(error, Obstacle):
        return error
    return AwsUnavailableError() if isinstance(error, BotoCoreError | ClientError) else UnexpectedError()


def error_name(error: Exception) -> str:
    """Return what an error is called: AWS's code, or the class. Its text may quote what it is about.

    Parameters
    ----------
    error : Exception
        Any error.

    Returns
    -------
    str
        The name.

    Examples
    --------
    >>> error_name(KeyError("text"))
    'KeyError'
    """
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__
