"""A device that cannot exist."""

from __future__ import annotations

# An ICCID has 18 to 22 digits. The last one is calculated from the others (ITU-T E.118).
_LENGTHS = range(18, 23)


def could_exist(device_id: str) -> bool:
    """Return whether a SIM could have this number: an ICCID's last digit is calculated from the others.

    Examples
    --------
    >>> could_exist("89314404000939952215"), could_exist("89314404000939952216"), could_exist("NOSUCHDEVICE")
    (True, False, False)
    """
    if not (device_id.isascii() and device_id.isdecimal() and len(device_id) in _LENGTHS):
        return False
    digits = [int(digit) for digit in reversed(device_id)]
    # Luhn's algorithm: every second digit is doubled, and the digits of the result are added.
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
