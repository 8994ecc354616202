"""Tokens and keys of accounts in the secret, which verify callbacks."""

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
"""The members that an account may have in the secret, beside its credentials."""

TOKEN_FORM = re.compile(r"[A-Za-z0-9_-]{32,128}")
"""The form of a token. 32 of these 64 characters are 192 bits, and all of them can be in a path as they are."""


class CallbackAccount(NamedTuple):
    """An account that the provider may call back.

    Parameters
    ----------
    name : str
        Name of the account.
    key_id, key : str or None
        The key that signs its notifications. If there is one, the token alone proves nothing.
    """

    name: str
    key_id: str | None
    key: str | None


class CallbackAccounts(NamedTuple):
    """The accounts that the provider may call back.

    Parameters
    ----------
    tokens : tuple of tuple
        All tokens, each with its account.
    faults : tuple of str
        Why callbacks of other accounts fail. Never a value from the secret.
    """

    tokens: tuple[tuple[str, CallbackAccount], ...]
    faults: tuple[str, ...]

    @classmethod
    def of(cls, members: Members) -> CallbackAccounts:
        """Read the tokens and keys of all accounts. A malformed account affects only itself.

        Parameters
        ----------
        members : Members
            Their values of `MEMBERS`.

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
        if name in found and not TOKEN_FORM.fullmatch(found[name]):
            return f"{name} must be 32 to 128 characters of A-Z, a-z, 0-9, _ and -"
        if name in found and uses[found[name]] > 1:
            return f"{name} is there twice; each token belongs to one account"
    if (KEY_ID in found) is not (KEY in found):
        return f"{KEY_ID} and {KEY} go together"
    return None
