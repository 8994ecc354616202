"""What accounts have in the secret to verify callbacks with."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cube_sms.provider import Members

MEMBERS = (TOKEN, FORMER_TOKEN, KEY_ID, KEY) = (
    "callback_token",
    "former_callback_token",
    "callback_key_id",
    "callback_key",
)
"""What an account may have in the secret, beside its credentials."""

# Of 64 characters each: 192 bits. And a part of a path that nobody has to encode.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,128}")


class CallbackAccount(NamedTuple):
    """An account that the provider may call back.

    Parameters
    ----------
    name : str
        Its name.
    key_id, key : str or None
        What its notifications are signed with. Where there is a key, a token alone proves nothing.
    """

    name: str
    key_id: str | None
    key: str | None


class CallbackAccounts(NamedTuple):
    """The accounts that the provider may call back.

    Parameters
    ----------
    tokens : tuple of tuple
        Every token with its account.
    faults : tuple of str
        Why other accounts cannot be called back. Never a value.
    """

    tokens: tuple[tuple[str, CallbackAccount], ...]
    faults: tuple[str, ...]

    @classmethod
    def of(cls, members: Members) -> CallbackAccounts:
        """Read what accounts have in the secret. One that is malformed stops no other one.

        Parameters
        ----------
        members : Members
            What they have of `MEMBERS`.

        Returns
        -------
        CallbackAccounts
            The accounts.
        """
        uses = Counter(
            each[name] for each in members.accounts.values() for name in (TOKEN, FORMER_TOKEN) if name in each
        )
        tokens: list[tuple[str, CallbackAccount]] = []
        faults = list(members.faults)
        for name, found in members.accounts.items():
            if fault := _fault(found, uses):
                faults.append(f"account {name!r}: {fault}")
                continue
            account = CallbackAccount(name, found.get(KEY_ID), found.get(KEY))
            tokens += [(found[each], account) for each in (TOKEN, FORMER_TOKEN) if each in found]
        return cls(tuple(tokens), tuple(faults))


def _fault(found: Mapping[str, str], uses: Mapping[str, int]) -> str | None:
    if TOKEN not in found:
        return f"{TOKEN} is missing"
    for name in (TOKEN, FORMER_TOKEN):
        if name in found and not _TOKEN.fullmatch(found[name]):
            return f"{name} must be 32 to 128 characters of A-Z, a-z, 0-9, _ and -"
        if name in found and uses[found[name]] > 1:
            return f"{name} is there twice; each token belongs to one account"
    if (KEY_ID in found) is not (KEY in found):
        return f"{KEY_ID} and {KEY} go together"
    return None
