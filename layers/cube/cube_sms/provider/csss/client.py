"""Client of ``sendSms``.

Only this module and `signing` know the field names of sendSms. The exception is the array of messages, which callers
may give (`content`). Facts about the provider come from docs/provider.md. A comment marks each assumption.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from cube_sms.provider.base import Query
from cube_sms.provider.client import Client
from cube_sms.request import CONTENT_FIELD

from .answers import FORM
from .credentials import CsssCredentials
from .signing import AS_READ, Spelling, signed_body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cube_sms.provider.http import Connections
    from cube_sms.request import SendRequest


class CubeClient(Client[CsssCredentials, Query[CsssCredentials]]):
    """Client of one endpoint.

    Parameters
    ----------
    base_url, connections, **options
        See `cube_sms.provider.client.Client`.
    timestamp_unit : {"s", "ms"}
        Unit of the request's timestamp. The provider's page and its overview disagree: the page says seconds.
    spelling : Spelling
        How the signed text is written.
    """

    path = "/sms/sendSms"
    form = FORM

    def __init__(
        self,
        base_url: str,
        connections: Connections,
        *,
        timestamp_unit: Literal["s", "ms"] = "s",
        spelling: Spelling = AS_READ,
        **options: Any,
    ) -> None:
        super().__init__(base_url, connections, **options)
        self._spelling = spelling
        self._ticks_per_second = 1000 if timestamp_unit == "ms" else 1

    def most_recipients(self, credentials: CsssCredentials) -> int:
        """Return 1: a query is for one device."""
        return 1

    def repeats_within(self, credentials: CsssCredentials) -> float:
        """Return 0: a query cannot be repeated, since the provider has nothing to recognize it by."""
        return 0.0

    def prepare(self, credentials: CsssCredentials, messages: Sequence[SendRequest]) -> Query[CsssCredentials]:
        """Make a query of one message."""
        (message,) = messages
        return Query(credentials, (message,))

    def sign(self, query: Query[CsssCredentials]) -> tuple[bytes, dict[str, str]]:
        """Return the body of a query, dated and signed now."""
        parameters = self._parameters(query.credentials, query.messages[0])
        return signed_body(parameters, query.credentials.secret, self._spelling), {}

    def _parameters(self, credentials: CsssCredentials, request: SendRequest) -> dict[str, Any]:
        # "1" and "" are the values of the page's own example; the provider uses neither.
        content = request.sms_content_list or [{CONTENT_FIELD: request.content or "", "smsType": "", "smsNum": "1"}]
        return {
            "version": "2.0",
            "access_code": credentials.access_code,
            "timestamp": str(int(self._clock() * self._ticks_per_second)),
            "deviceId": request.device_id,
            "messageType": request.message_type,
            "smsContentList": content,
        }
