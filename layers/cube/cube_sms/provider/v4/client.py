"""Client of ``POST /sms``, one query to up to a hundred SIMs, and of the lists of messages to and from a SIM.

Nothing above this module and `signing` knows the field names of v4's wire format. Facts about the provider come from
docs/provider.md.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

from cube_sms.platform import Fault
from cube_sms.provider.base import CubeAnswer, CubeOutcomeUnknown, ListPage, Query
from cube_sms.provider.client import Client, timed
from cube_sms.request import InvalidRequestError

from .answers import FORM
from .credentials import V4Credentials
from .lists import PAGE_SIZE, read_heard, read_items, read_receipt
from .signing import body, members_of, sign, text_to_sign

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cube_sms.provider.base import Heard, Listing, Receipt
    from cube_sms.provider.http import Connection, Connections
    from cube_sms.request import SendRequest

    from .signing import Members, Spaces

# The provider takes this many SIMs in one query.
MOST_RECIPIENTS = 100

# The provider takes an equal query within this time for the same request.
REPEATS_WITHIN = 10.0

_TYPES = {"Text": 1, "Binary": 2}


@dataclass(frozen=True, slots=True)
class V4Query(Query[V4Credentials]):
    """A query that the provider knows again by its nonce.

    Parameters
    ----------
    nonce : str
        The same each time it is sent.
    members : Mapping[str, bytes]
        Those of its body.
    """

    nonce: str
    members: Members


class CubeV4Client(Client[V4Credentials, V4Query]):
    """Client of the endpoints for SMS.

    Parameters
    ----------
    base_url, connections, **options
        See `cube_sms.provider.client.Client`.
    signed_spaces : {"keep", "remove"}
        Whether spaces in the text that is signed are kept: see `cube_sms.provider.v4.signing.text_to_sign`.
    """

    path = "/sms"
    form = FORM

    def __init__(
        self, base_url: str, connections: Connections, *, signed_spaces: Spaces = "keep", **options: Any
    ) -> None:
        super().__init__(base_url, connections, **options)
        self._spaces = signed_spaces

    def most_recipients(self, credentials: V4Credentials) -> int:
        """Return how many SIMs one query takes."""
        return MOST_RECIPIENTS

    def repeats_within(self, credentials: V4Credentials) -> float:
        """Return how long a nonce with the same SIMs and message is one request."""
        return REPEATS_WITHIN

    def lists(self, credentials: V4Credentials) -> Self:
        """Return what asks what became of messages."""
        return self

    def prepare(self, credentials: V4Credentials, messages: Sequence[SendRequest]) -> V4Query:
        """Make a query, under a nonce of its own.

        Raises
        ------
        InvalidRequestError
            If a request has several texts, of which a query takes one.
        """
        first = messages[0]
        if len(first.sms_content_list or ()) > 1:
            fault = Fault("smsContentList", f"must have one item: account {first.account} uses Cube v4")
            raise InvalidRequestError([fault], first.request_id or None)
        parameters = {
            "sim_ids": [message.device_id for message in messages],
            "message": {"type": _TYPES[first.message_type], "content": first.texts[0]},
        }
        return V4Query(credentials, tuple(messages), nonce=uuid.uuid4().hex, members=members_of(parameters))

    def sign(self, query: V4Query) -> tuple[bytes, dict[str, str]]:
        """Return the body of a query, and the headers that date and sign it now."""
        return body(query.members), self._signed(query.credentials, query.members, query.nonce, self._path)

    def receipts(
        self, listing: Listing[V4Credentials], *, over: Connection, left: Callable[[], None]
    ) -> ListPage[Receipt]:
        """Ask what became of messages to a SIM, once: see `cube_sms.provider.base.Lists`."""
        page = self._list("mt", read_receipt, listing, over, left)
        receipts = []
        for receipt, error in page.items:
            code, message = self._interpreter.kept(error, replace(listing, texts=(receipt.text,)))
            receipts.append(receipt._replace(code=code, message=message) if error.code else receipt)
        return ListPage(tuple(receipts), page.listed, page.total, page.answer)

    def heard(self, listing: Listing[V4Credentials], *, over: Connection, left: Callable[[], None]) -> ListPage[Heard]:
        """Ask what a SIM has sent, once: see `cube_sms.provider.base.Lists`."""
        return self._list("mo", read_heard, listing, over, left)

    def _list[Item](
        self,
        kind: str,
        read: Callable[[Any], Item | None],
        listing: Listing[V4Credentials],
        over: Connection,
        left: Callable[[], None],
    ) -> ListPage[Item]:
        self.check_line(over)
        path = f"{self._path}/{kind}/{quote(listing.device_id, safe='')}"
        parameters = {
            "begin_from": _milliseconds(listing.since),
            "end_by": _milliseconds(listing.until),
            "page_no": str(listing.page),
            "page_size": str(PAGE_SIZE),
        }
        with timed() as elapsed:
            headers = self._signed(listing.credentials, members_of(parameters), uuid.uuid4().hex, path)
            answer = over.get(f"{path}?{urlencode(parameters)}", {**self._headers, **headers}, left)
            said = self._interpreter.read(answer, listing, self._clock())
            page = read_items(answer.body, read)
            if page is None:
                raise CubeOutcomeUnknown("the list of messages cannot be read", status=answer.status)
            return ListPage(page.read, page.listed, page.total, CubeAnswer(said.code, said.message, elapsed()))

    def _signed(self, credentials: V4Credentials, members: Members, nonce: str, path: str) -> dict[str, str]:
        """Return the headers that date and sign a request now."""
        timestamp = str(int(self._clock() * 1000))
        text = text_to_sign(members, nonce=nonce, timestamp=timestamp, uri=path, spaces=self._spaces)
        return {
            "Authorization": f"LF {credentials.key_id}/{sign(text, credentials.private_key)}",
            "timestamp": timestamp,
            "nonce": nonce,
            "X-LF-Signature-Type": "2.0",
        }


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
