"""What is in doubt about csss: the unit of the timestamp, the order of the keys, and what is escaped."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cube_sms.provider.csss import CubeClient
from cube_sms.provider.csss.signing import Spelling
from cube_sms.request import SendRequest

from .trials import OLD_SECONDS, Explanation, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cube_sms.provider.csss import CsssCredentials
    from cube_sms.provider.http import Connections

UNIT = "CubeTimestampUnit"
UNITS = {"s": "seconds", "ms": "milliseconds"}

# Without anything that could be written in two ways.
TEXT = "cube-sms probe"
SLASH = "cube-sms 1/2"
NON_ASCII = "cube-sms é中"


class CsssProbe:
    """The requests for an account.

    Parameters
    ----------
    credentials : CsssCredentials
        The account's.
    device_id : str
        The device that does not exist.
    base_url : str
        Cube's address.
    connections : Connections
        Those to it.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    dialect = "csss"

    def __init__(
        self,
        credentials: CsssCredentials,
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
        """Return a request for each unit and order, and how each unit is refused for its signature and its time."""
        forged = replace(self._credentials, secret=f"{self._credentials.secret}x")
        trials = []
        for unit, words in UNITS.items():
            own: dict[str, Any] = {"unit": unit, "settings": {UNIT: unit}}
            trials += [
                self._trial(
                    f"{unit}-wrong-secret", "signed with another secret", unit=unit, by=forged, flaw="signature"
                ),
                self._trial(f"{unit}-old", f"an hour old, in {words}", unit=unit, age=OLD_SECONDS, flaw="clock"),
                self._trial(unit, f"timestamp in {words}, keys sorted", **own),
                self._trial(
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
            self._trial("slash", "/ as itself", **slash, spelling=spelling),
            self._trial("slash-escaped", r"/ as \/", **slash, spelling=slashes, has_setting=False),
            self._trial("non-ascii", "é and 中 as themselves", **letters, spelling=spelling),
            self._trial(
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
        # The signature stands behind the text that is signed.
        text, _, sign = body.decode().rpartition(',"sign":"')
        return Explanation(f"{text}}}", sign.removesuffix('"}'))

    def _trial(
        self,
        name: str,
        about: str,
        *,
        unit: Any,
        by: CsssCredentials | None = None,
        text: str = TEXT,
        age: float = 0.0,
        spelling: Spelling = Spelling(),  # noqa: B008 - it cannot be changed
        **told: Any,
    ) -> Trial:
        client = CubeClient(
            self._base_url,
            self._connections,
            timestamp_unit=unit,
            spelling=spelling,
            language="en-US",
            keeps_messages=True,
            clock=lambda: self._clock() - age,
        )
        query = client.prepare(by or self._credentials, [SendRequest(device_id=self._device_id, content=text)])
        return Trial(name, about, client, query, group=unit, **told)
