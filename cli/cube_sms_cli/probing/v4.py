"""What is in doubt about Cube v4: whether spaces are part of the text that is signed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from cube_sms.platform import parse_base_url
from cube_sms.provider.v4 import CubeV4Client
from cube_sms.provider.v4.signing import sign, text_to_sign
from cube_sms.request import SendRequest

from .trials import OLD_SECONDS, Explanation, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cube_sms.provider.http import Connections
    from cube_sms.provider.v4 import V4Credentials

SPACES = "CubeV4SignedSpaces"
TEXT = "cube-sms probe with spaces"
NO_SPACES = "cube-sms-probe"


class V4Probe:
    """The requests for an account: see `cube_sms_cli.probing.csss.CsssProbe` for the parameters."""

    dialect = "v4"

    def __init__(
        self,
        credentials: V4Credentials,
        device_id: str,
        base_url: str,
        connections: Connections,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._credentials = credentials
        self._device_id = device_id
        self._base_url = base_url
        self._connections = connections
        self._clock = clock

    def first(self) -> list[Trial]:
        """Return a request for each way with spaces, and how one is refused for its signature and its time."""
        key = self._credentials.private_key
        forged = replace(self._credentials, private_key=generate_private_key(65537, key.key_size))
        return [
            self._trial("wrong-key", "signed with another key", "keep", by=forged, flaw="signature"),
            self._trial("old", "an hour old", "keep", age=OLD_SECONDS, flaw="clock"),
            self._trial("no-spaces", "a text without spaces", "keep", text=NO_SPACES),
            self._trial("spaces-kept", "spaces are signed", "keep", settings={SPACES: "keep"}, doubt="spaces"),
            self._trial(
                "spaces-removed",
                "spaces are removed before signing",
                "remove",
                settings={SPACES: "remove"},
                doubt="spaces",
            ),
        ]

    def then(self, passed: Sequence[Trial]) -> list[Trial]:
        """Return that nothing else is in doubt."""
        return []

    def explain(self, trial: Trial) -> Explanation:
        """Sign a request, and return what was signed. Nothing is sent."""
        _, headers = trial.client.sign(trial.query)
        query: Any = trial.query
        path = parse_base_url(self._base_url).path.rstrip("/") + CubeV4Client.path
        spaces: Any = trial.settings.get(SPACES, "keep")
        text = text_to_sign(
            query.members, nonce=headers["nonce"], timestamp=headers["timestamp"], uri=path, spaces=spaces
        )
        return Explanation(text.decode(), sign(text, query.credentials.private_key))

    def _trial(
        self,
        name: str,
        about: str,
        spaces: Any,
        *,
        by: V4Credentials | None = None,
        text: str = TEXT,
        age: float = 0.0,
        **told: Any,
    ) -> Trial:
        client = CubeV4Client(
            self._base_url,
            self._connections,
            signed_spaces=spaces,
            language="en-US",
            keeps_messages=True,
            clock=lambda: self._clock() - age,
        )
        query = client.prepare(by or self._credentials, [SendRequest(device_id=self._device_id, content=text)])
        return Trial(name, about, client, query, group="", **told)
