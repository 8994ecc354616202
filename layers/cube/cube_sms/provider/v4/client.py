"""Client of ``POST /sms``: one query to up to a hundred SIMs.

Nothing above this module and `signing` knows the field names of v4's wire format. Facts about the provider come from
docs/provider.md.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cube_sms.platform import Fault
from cube_sms.provider.base import Query
from cube_sms.provider.client import Client
from cube_sms.request import InvalidRequestError

from .answers import FORM
from .credentials import V4Credentials
from .signing import body, members_of, sign, text_to_sign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cube_sms.provider.http import Connections
    from cube_sms.request import SendRequest

    from .signing import Members, Spaces

MOST_RECIPIENTS = 100
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
    """Client of one endpoint.

    Parameters
    ----------
    base_url, connections, **options
        See `cube_sms.provider.client.Client`.
    signed_spaces : {"keep", "remove"}
        What becomes of spaces in the text that is signed: see `cube_sms.provider.v4.signing.text_to_sign`.
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

    def prepare(self, credentials: V4Credentials, messages: Sequence[SendRequest]) -> V4Query:
        """Make a query, under a nonce of its own.

        Raises
        ------
        InvalidRequestError
            If a request has several texts, of which a query takes one.
        """
        first = messages[0]
        if len(first.sms_content_list or ()) > 1:
            fault = Fault("smsContentList", f"must have one item: account {first.account} speaks Cube v4")
            raise InvalidRequestError([fault], first.request_id or None)
        parameters = {
            "sim_ids": [message.device_id for message in messages],
            "message": {"type": _TYPES[first.message_type], "content": first.texts[0]},
        }
        return V4Query(credentials, tuple(messages), nonce=uuid.uuid4().hex, members=members_of(parameters))

    def sign(self, query: V4Query) -> tuple[bytes, dict[str, str]]:
        """Return the body of a query, and the headers that date and sign it now."""
        timestamp = str(int(self._clock() * 1000))
        text = text_to_sign(query.members, nonce=query.nonce, timestamp=timestamp, uri=self._path, spaces=self._spaces)
        headers = {
            "Authorization": f"LF {query.credentials.key_id}/{sign(text, query.credentials.private_key)}",
            "timestamp": timestamp,
            "nonce": query.nonce,
            "X-LF-Signature-Type": "2.0",
        }
        return body(query.members), headers
