"""What delivery needs of a provider, and the possible results of one query.

Delivery, pacing, inputs and outputs know only this. Field names and codes belong to a dialect.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, Self

from cube_sms.platform import ApiAnswer, AwsUnavailableError, Obstacle, metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from cube_sms.request import MessageType, SendRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials(ABC):
    """What one account signs with; a dialect adds what its signature takes.

    Parameters
    ----------
    stale : bool
        Whether this is the last good value, served while Secrets Manager is unavailable.
    version : int
        Which fetch it comes from.
    """

    stale: bool = field(default=False, compare=False)
    version: int = field(default=0, compare=False, repr=False)

    FIELDS: ClassVar[tuple[str, ...]]
    """What it is read from."""

    @classmethod
    @abstractmethod
    def from_entry(cls, entry: Mapping[str, object], version: int) -> Self:
        """Read the entry of an account in the secret.

        Parameters
        ----------
        entry : Mapping[str, object]
            The entry, which may have other fields.
        version : int
            Which fetch it comes from.

        Returns
        -------
        Credentials
            The account's.

        Raises
        ------
        ValueError
            If a field is missing or has a fault. The text names the field and quotes no value.
        """

    @property
    @abstractmethod
    def hidden(self) -> tuple[str, ...]:
        """The parts that are hidden if the provider quotes them."""


@dataclass(frozen=True, slots=True)
class Query[C: Credentials]:
    """What goes to the provider at once, as a dialect has prepared it. To repeat it is to send it again.

    Parameters
    ----------
    credentials : Credentials
        The account's.
    messages : tuple of SendRequest
        One or more, of one account, type and text, to different devices.
    """

    credentials: C
    messages: tuple[SendRequest, ...]

    @property
    def device_ids(self) -> tuple[str, ...]:
        """The devices that it names. What the provider quotes of them is masked."""
        return tuple(message.device_id for message in self.messages)

    @property
    def texts(self) -> tuple[str, ...]:
        """What it says. What the provider quotes of it is left out."""
        return tuple(text for message in self.messages for text in message.texts)


@dataclass(frozen=True, slots=True)
class Listing[C: Credentials]:
    """A question for a page of a device's messages.

    Parameters
    ----------
    credentials : Credentials
        The account's.
    device_id : str
        The device.
    since, until : float
        Of messages between these times, in seconds since the epoch.
    page : int
        Which page, from 1 on.
    texts : tuple of str
        As for `Query`: what it lists is not known before.
    """

    credentials: C
    device_id: str
    since: float
    until: float
    page: int = 1
    texts: tuple[str, ...] = ()

    @property
    def device_ids(self) -> tuple[str, ...]:
        """As for `Query`."""
        return (self.device_id,)


class Receipt(NamedTuple):
    """What the provider says of one message that it has taken.

    Parameters
    ----------
    sent_at : float
        Seconds since the epoch at which it was sent, by the provider's clock.
    message_type : {"Text", "Binary"}
        Its type.
    text : str
        Its content.
    is_delivered : bool or None
        Whether the device got it; None as long as the provider does not know.
    code, message : str or None
        Why not: the provider's code, and its words where they are kept.
    """

    sent_at: float
    message_type: MessageType
    text: str
    is_delivered: bool | None
    code: str | None = None
    message: str | None = None


class Heard(NamedTuple):
    """A message from a device.

    Parameters
    ----------
    received_at : int
        When the provider had it, in milliseconds since the epoch.
    message_type : {"Text", "Binary"}
        Its type.
    text : str
        What it says.
    """

    received_at: int
    message_type: MessageType
    text: str


class ListPage[Item](NamedTuple):
    """A page of a list.

    Parameters
    ----------
    items : tuple of Receipt or Heard
        Those of the page.
    listed, total : int
        How many messages the page has, and all pages together. One that cannot be read is none of the items.
    answer : CubeAnswer
        The answer that it came with.
    """

    items: tuple[Item, ...]
    listed: int
    total: int
    answer: CubeAnswer


class Line(Protocol):
    """What a query goes over."""

    def open(self) -> None:
        """Make it ready, which may take a while: what is looked at after it is still true when the query leaves.

        Raises
        ------
        CubeUnavailable
            If that is not possible.
        """


class Lists[C: Credentials, L: Line](Protocol):
    """A dialect's lists of the messages of a device. To ask is a query like any other, which sends nothing."""

    def receipts(self, listing: Listing[C], *, over: L, left: Callable[[], None]) -> ListPage[Receipt]:
        """Ask what became of messages to a device, once.

        Parameters
        ----------
        listing : Listing
            Which messages.
        over : Line
            An open line of its credentials.
        left : Callable[[], None]
            Called when the query has left.

        Returns
        -------
        ListPage
            What the provider says, in its order.

        Raises
        ------
        CubeError
            One of its subclasses if it says something else, or nothing.
        """

    def heard(self, listing: Listing[C], *, over: L, left: Callable[[], None]) -> ListPage[Heard]:
        """Ask what a device has sent, once: as `receipts`."""


class Provider[C: Credentials, Q: Query[Any], L: Line](Protocol):
    """A provider, in one dialect or in several. Safe to share between threads."""

    @property
    def longest_post(self) -> float:
        """The most seconds that one query takes, with a line that has to be opened."""

    def most_recipients(self, credentials: C) -> int:
        """Return the most messages of one query. They are of one account, type and text, to different devices."""

    def repeats_within(self, credentials: C) -> float:
        """Return how long a query can be repeated.

        Returns
        -------
        float
            Seconds after it first left. Within them the provider takes the repeated query for the same request. 0 if
            it always takes it for another one.
        """

    def lists(self, credentials: C) -> Lists[C, L] | None:
        """Return what can be asked of a device's messages; None if the account's dialect has no such lists."""

    def prepare(self, credentials: C, messages: Sequence[SendRequest]) -> Q:
        """Make a query, which is dated and signed each time it is sent.

        Parameters
        ----------
        credentials : Credentials
            The account's.
        messages : sequence of SendRequest
            One to `most_recipients`.

        Returns
        -------
        Query
            What `send` takes.

        Raises
        ------
        InvalidRequestError
            If the account's dialect cannot say what the messages have in common.
        """

    def connection(self, credentials: C) -> AbstractContextManager[L]:
        """Take one of the lines, which need not be open, as long as a context. A thread waits for a free one."""

    def send(self, query: Q, *, over: L, left: Callable[[], None]) -> CubeAnswer:
        """Send a query, once.

        Parameters
        ----------
        query : Query
            What `prepare` made.
        over : Line
            An open line of its credentials.
        left : Callable[[], None]
            Called when the query has left.

        Returns
        -------
        CubeAnswer
            What the provider said, if it accepted all messages.

        Raises
        ------
        CubeError
            One of its subclasses for anything else.
        """

    def close(self) -> None:
        """Close every line. The next query opens one again."""


_SERVER_ERROR = 500


class CubeAnswer(NamedTuple):
    """Cube's answer to an accepted request.

    Parameters
    ----------
    code : str
        The provider's code.
    message : str or None
        The provider's words, where they are kept.
    latency : float
        Seconds from the start of the query, over a line that was open, to the end of the answer.
    job_id : str or None
        The provider's name for what it has accepted, if it gives one.
    """

    code: str
    message: str | None
    latency: float
    job_id: str | None = None

    @property
    def outcome(self) -> Literal["yes"]:
        """Whether the provider has processed the message."""
        return "yes"

    @property
    def gate(self) -> Literal["opens"]:
        """What it does to the gate."""
        return "opens"

    @property
    def account(self) -> Literal["opens"]:
        """What it does to the gate of its account."""
        return "opens"

    @property
    def retry_after(self) -> None:
        """Nothing is asked to wait."""
        return None


class CredentialsError(AwsUnavailableError):
    """The account's credentials cannot be had; the message names what is missing and never shows a value."""

    remedy = "Run `cube-sms account check`, and correct the entry of the account in the secret."
    metric = metrics.CREDENTIALS_UNUSABLE


class UnknownAccountError(CredentialsError):
    """The secret holds no credentials for the account. In a send request, the field `account` is then invalid."""

    remedy = "Name another account in the request, or store this one with `cube-sms account add`."


class CubeError(Obstacle, is_abstract=True):
    """A query to Cube that was not answered with success.

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
        Seconds from the start of the query to its end; 0 if there was none, since no connection came about.
    """

    # An attempt used up is a dead letter of the queue's own, and an attempt has its line in the log.
    letter = None
    log = None
    is_of_recipients = False

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
    """Cube said no: an envelope that says so with a code that is not listed, or HTTP 400. Repeated by hand alone."""

    outcome = "no"
    state = "REJECTED"
    gate = "opens"
    account: ClassVar[Literal["counts", "opens"]] = "counts"
    answer = ApiAnswer(422, "Rejected by Cube", "Cube said no")
    remedy = (
        "Look up the code at the provider. If it was temporary, list it in CubeAnswerCodes and run "
        "`cube-sms rejected redrive`."
    )
    # The state has one.
    metric = None
    renews_credentials = False
    # The code's meaning is unknown: it may be about one of several recipients.
    is_of_recipients = True


class CubeRecipientRejected(CubeRejected):
    """Cube said no to a recipient, with a code that is known to say so. The account itself is well."""

    account = "opens"
    remedy = "Correct the id of the device, or ask the provider about the SIM."


class CubeMessageRejected(CubeRejected):
    """Cube said no to the message, for any recipient, with a code that is known to say so."""

    account = "opens"
    remedy = "Correct the text, and send it under another id."
    is_of_recipients = False


class CubeAuthenticationError(CubeError):
    """Cube did not accept the credentials: HTTP 401 or 403, or a code that is listed as such."""

    outcome = "no"
    state = "RETRYING"
    gate = "opens"
    account = "nothing"
    answer = ApiAnswer(502, "Cube refused the account's credentials")
    remedy = "Correct the credentials with `cube-sms account rotate`. See docs/runbook.md#authentication-failures."
    metric = metrics.CUBE_AUTHENTICATION_FAILED
    # The account's secret may just have been rotated.
    renews_credentials = True


class CubeThrottled(CubeError):  # noqa: N818 - the taxonomy's own name
    """Cube's rate, connection or quota limit: HTTP 429, or a code that is listed as such."""

    outcome = "no"
    state = "RETRYING"
    gate = "closes"
    account = "nothing"
    answer = ApiAnswer(429, "Too many requests", is_later=True)
    remedy = (
        "Wait: the gate opens by itself. If this repeats, lower CubeMaxQps, or find who else calls from this address."
    )
    metric = metrics.CUBE_THROTTLED
    renews_credentials = False


class CubeUnavailable(CubeError):  # noqa: N818 - the taxonomy's own name
    """Not processed: no connection, HTTP 503 with ``Retry-After``, or a code or status that is listed as such."""

    outcome = "no"
    state = "RETRYING"
    gate = "counts"
    account = "nothing"
    answer = ApiAnswer(503, "Cube is unavailable", is_later=True)
    remedy = "Wait: the message is tried again. If this lasts, ask the provider. See docs/runbook.md#gate-closed."
    metric = None
    renews_credentials = False


class CubeOutcomeUnknown(CubeError):  # noqa: N818 - the taxonomy's own name
    """The request left, and no answer shows its outcome.

    HTTP 5xx is such an answer: a gateway gives it too when the server behind it crashes after it has committed.
    """

    outcome = "unknown"
    state = "RETRYING"
    gate: Literal["nothing", "counts"] = "nothing"
    account = "nothing"
    answer = ApiAnswer(504, "Outcome unknown", "{error}; the message may have been sent")
    remedy = (
        "Find out if the device has the message before you send it under another id. "
        "See docs/runbook.md#unknown-outcomes."
    )
    metric = None
    renews_credentials = False

    def __init__(self, reason: str, **told: Any) -> None:
        super().__init__(reason, **told)
        # An answer that was lost is no sign that Cube is unavailable.
        if (self.status or 0) >= _SERVER_ERROR:
            self.gate = "counts"


class CubeInternalError(CubeOutcomeUnknown):
    """Cube says with a code that something broke, or is not over: the message may have been processed before."""

    gate = "counts"
