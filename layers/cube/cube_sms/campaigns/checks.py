"""Checks of a campaign's rows, before any of them is sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cube_sms.request import mask_device_id

from .errors import InvalidCampaignError
from .files import DEVICE, WANTED
from .queries import FewestQueries

if TYPE_CHECKING:
    from collections.abc import Callable

    from .runs import Row

# If all of the first rows are faulty, the file itself is wrong.
FIRST_ROWS = 100
_MOST_QUOTED = 3

# The output of a state may have 256 KiB. So it has this many rows of each kind at most, and this much of each reason.
MOST_TOLD = 100
MOST_REASON = 500

# Devices that are remembered, to find those that occur again. A million take 80 MB of memory.
MOST_DEVICES = 1_000_000

# ITU-T E.118: 89, country, issuer and account, then Luhn's check digit. Some write an F after 19 digits.
_ICCID = re.compile(r"(89[0-9]{17})([0-9]?)F?", re.IGNORECASE)
# A spreadsheet keeps 15 digits of a number.
_ROUNDED = re.compile(r"[0-9]{15}0{4,5}")
_NUMBER = re.compile(r"[0-9][0-9.,]*(E[+-]?[0-9]+)?", re.IGNORECASE)


class Checks:
    """Counts a campaign's rows as they come, and notes what is odd about them.

    A row that is refused is not sent. All else is a warning: the row is sent.

    Parameters
    ----------
    most_together : Callable[[str], int]
        How many messages of an account can share a query.
    """

    def __init__(self, most_together: Callable[[str], int]) -> None:
        self.rows = 0
        self.queries = FewestQueries(most_together)
        self.refused = _Noted()
        self.repeated_devices = _Noted()
        self.wrong_check_digits = _Noted()
        self.rounded_iccids = _Noted()
        # Digests of 8 bytes. Two of a million devices have the same one in one campaign of 30 million.
        self._devices: set[int] = set()

    @property
    def valid(self) -> int:
        """How many rows are valid requests."""
        return self.rows - self.refused.count

    @property
    def warnings(self) -> dict[str, int]:
        """How many rows there are of each kind that is odd. They are sent."""
        return {name: noted.count for name, noted in self._kinds.items()}

    @property
    def members(self) -> dict[str, Any]:
        """All of it as JSON members, with the first rows of each kind."""
        noted = {"refused": self.refused, **self._kinds}
        return {"rows": self.rows, "valid": self.valid, **{name: each.members for name, each in noted.items()}}

    def add(self, row: Row) -> None:
        """Check the next row.

        Parameters
        ----------
        row : Row
            The row, as it was understood.

        Raises
        ------
        InvalidCampaignError
            If it is the last of the first rows, and all of them are faulty.
        """
        self.rows += 1
        if row.request is None:
            self.refused.note({"row": self.rows, "reason": _shortened(row.reason or "")})
        else:
            self.queries.add(row.request)
            self._check_device(row.request.device_id)
        if self.rows == self.refused.count == FIRST_ROWS:
            faults = "; ".join(f"row {each['row']}: {each['reason']}" for each in self.refused.first[:_MOST_QUOTED])
            counted = "rows are counted from 1 below the header, without empty ones"
            raise InvalidCampaignError(
                f"The first {FIRST_ROWS} rows are all faulty ({counted}): {faults}; and so on. {WANTED}", "rows"
            )

    @property
    def _kinds(self) -> dict[str, _Noted]:
        return {
            "repeatedDevices": self.repeated_devices,
            "wrongCheckDigits": self.wrong_check_digits,
            "roundedIccids": self.rounded_iccids,
        }

    def _check_device(self, device_id: str) -> None:
        # Masked as in logs: an operator finds the device in the file by its row.
        told = {"row": self.rows, "deviceId": mask_device_id(device_id)}
        digest = hash(device_id)
        if digest in self._devices:
            self.repeated_devices.note(told)
        elif len(self._devices) < MOST_DEVICES:
            self._devices.add(digest)
        if _ROUNDED.fullmatch(device_id):
            self.rounded_iccids.note(told)
        elif has_wrong_check_digit(device_id):
            self.wrong_check_digits.note(told)


class _Noted:
    """Rows of a kind: how many there are, and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[dict[str, Any]] = []

    @property
    def members(self) -> dict[str, Any]:
        return {"count": self.count, "first": self.first}

    def note(self, told: dict[str, Any]) -> None:
        self.count += 1
        if len(self.first) < MOST_TOLD:
            self.first.append(told)


def has_wrong_check_digit(device_id: str) -> bool:
    """Return whether a device id is an ICCID of 19 or 20 digits whose last one is not Luhn's check digit.

    Examples
    --------
    >>> has_wrong_check_digit("89314404000939952264"), has_wrong_check_digit("89314404000939952265")
    (False, True)
    >>> has_wrong_check_digit("sensor7")
    False
    """
    iccid = _ICCID.fullmatch(device_id)
    if not iccid:
        return False
    digits = [int(digit) for digit in reversed(iccid[1] + iccid[2])]
    doubled = (2 * digit - 9 * (digit > 4) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 != 0


def with_hint(reason: str, device_id: str) -> str:
    """Return why a row is refused, and what may have happened to its device id.

    Examples
    --------
    >>> with_hint("deviceId: must be …", "8.93144E+18")
    'deviceId: must be …; deviceId: is a number as a spreadsheet shows it: make the column text, then put the ICCIDs in'
    """
    if not _NUMBER.fullmatch(device_id) or device_id.isalnum():
        return reason
    return f"{reason}; {DEVICE}: is a number as a spreadsheet shows it: make the column text, then put the ICCIDs in"


def _shortened(reason: str) -> str:
    return reason if len(reason) <= MOST_REASON else f"{reason[:MOST_REASON]}…"
