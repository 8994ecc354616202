"""The open questions about csss: the unit of the timestamp, the order of the keys, and what is escaped."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cube_sms.provider.csss import CsssCredentials, CubeClient
from cube_sms.provider.csss.signing import Spelling

from .trials import OLD_SECONDS, Explanation, Probe, Trial

if TYPE_CHECKING:
    from collections.abc import Sequence

UNIT = "CubeTimestampUnit"
UNITS = {"s": "seconds", "ms": "milliseconds"}

# All its characters can be written in one way only.
TEXT = "cube-sms probe"
SLASH = "cube-sms 1/2"
NON_ASCII = "cube-sms é中"


class CsssProbe(Probe[CsssCredentials]):
    """The requests for an account."""

    dialect = "csss"
    client = CubeClient

    def first(self) -> list[Trial]:
        """Return a request for each unit and order, and for each unit one with a wrong signature and an old one."""
        forged = replace(self._credentials, secret=f"{self._credentials.secret}x")
        trials = []
        for unit, words in UNITS.items():
            own: dict[str, Any] = {"unit": unit, "settings": {UNIT: unit}}
            trials += [
                self._signed(
                    f"{unit}-wrong-secret", "signed with another secret", unit=unit, by=forged, flaw="signature"
                ),
                self._signed(f"{unit}-old", f"an hour old, in {words}", unit=unit, age=OLD_SECONDS, flaw="clock"),
                self._signed(unit, f"timestamp in {words}, keys sorted", **own),
                self._signed(
                    f"{unit}-page-order",
                    f"timestamp in {words}, keys in the page's order",
                    **own,
                    spelling=Spelling(sorts_keys=False),
                    has_setting=False,
                ),
            ]
        return trials

    def then(self, passed: Sequence[Trial]) -> list[Trial]:
        """Return what to try with the first form that passed: characters that can be escaped."""
        if not passed:
            return []
        unit, spelling = passed[0].settings[UNIT], Spelling(sorts_keys=passed[0].has_setting)
        slash: dict[str, Any] = {"unit": unit, "text": SLASH, "doubt": "/"}
        letters: dict[str, Any] = {"unit": unit, "text": NON_ASCII, "doubt": "characters that are not ASCII"}
        slashes, ascii_alone = spelling._replace(escapes_slashes=True), spelling._replace(escapes_non_ascii=True)
        return [
            self._signed("slash", "/ as itself", **slash, spelling=spelling),
            self._signed("slash-escaped", r"/ as \/", **slash, spelling=slashes, has_setting=False),
            self._signed("non-ascii", "é and 中 as themselves", **letters, spelling=spelling),
            self._signed(
                "non-ascii-escaped",
                r"é and 中 as \u00e9 and \u4e2d",
                **letters,
                spelling=ascii_alone,
                has_setting=False,
            ),
        ]

    def explain(self, trial: Trial) -> Explanation:
        """Sign a request, and return what was signed. Nothing is sent."""
        body, _ = trial.client.sign(trial.query)
        # The signature follows the signed text.
        text, _, sign = body.decode().rpartition(',"sign":"')
        return Explanation(f"{text}}}", sign.removesuffix('"}'))

    def _signed(
        self,
        name: str,
        about: str,
        *,
        unit: str,
        text: str = TEXT,
        spelling: Spelling = Spelling(),  # noqa: B008 - it is immutable
        **told: Any,
    ) -> Trial:
        """Make a request that is signed in one form. Those of one unit are compared with one another."""
        return self._trial(name, about, {"timestamp_unit": unit, "spelling": spelling}, text, group=unit, **told)
