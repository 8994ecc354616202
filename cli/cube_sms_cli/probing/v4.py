"""The open question about Cube v4: whether spaces are part of the signed text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cube_sms.platform import parse_base_url
from cube_sms.provider.v4 import CubeV4Client, V4Credentials
from cube_sms.provider.v4.signing import sign, text_to_sign

from .trials import OLD_SECONDS, Explanation, Probe, Trial

if TYPE_CHECKING:
    from collections.abc import Sequence

SPACES = "CubeV4SignedSpaces"
TEXT = "cube-sms probe with spaces"
NO_SPACES = "cube-sms-probe"


class V4Probe(Probe[V4Credentials]):
    """The requests for an account."""

    dialect = "v4"
    client = CubeV4Client

    def first(self) -> list[Trial]:
        """Return a request for each form of spaces, one without spaces, one with a wrong signature, and an old one."""
        # Imported late, since every command would otherwise wait for it.
        from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

        key = self._credentials.private_key
        forged = replace(self._credentials, private_key=generate_private_key(65537, key.key_size))
        return [
            self._signed("wrong-key", "signed with another key", "keep", by=forged, flaw="signature"),
            self._signed("old", "an hour old", "keep", age=OLD_SECONDS, flaw="clock"),
            self._signed("no-spaces", "a text without spaces", "keep", text=NO_SPACES),
            self._signed("spaces-kept", "spaces are signed", "keep", settings={SPACES: "keep"}, doubt="spaces"),
            self._signed(
                "spaces-removed",
                "spaces are removed before signing",
                "remove",
                settings={SPACES: "remove"},
                doubt="spaces",
            ),
        ]

    def then(self, passed: Sequence[Trial]) -> list[Trial]:
        """Return none: there are no further questions."""
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

    def _signed(self, name: str, about: str, spaces: str, *, text: str = TEXT, **told: Any) -> Trial:
        """Make a request that is signed in one form. All are compared with one another."""
        return self._trial(name, about, {"signed_spaces": spaces}, text, group="", **told)
