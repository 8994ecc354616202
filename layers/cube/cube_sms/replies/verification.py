"""Whether a callback is the provider's: its token, its signature, its time. Pure, with the standard library alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ALGORITHM = "HMAC-SHA1"

OLDEST = 24 * 3600 + 600
"""Seconds after which a signed notification is stale.

The provider resends for 24 hours, and does not say whether a resend has a timestamp of its own. A shorter time could
lose replies after an outage of ours. What somebody repeats within it has the ``eventId`` of the first one.
"""

FURTHEST_AHEAD = 600
"""Seconds that the provider's clock may be ahead of ours: as far as it lets ours be off."""

_TIMESTAMP = re.compile(r"[0-9]{1,15}")


class Signature(NamedTuple):
    """What the headers of a signed notification say.

    Parameters
    ----------
    version : str
        Of the notification.
    timestamp : str
        Milliseconds since the epoch.
    key_id : str
        Which key signed it.
    digest : str
        Base64 of the HMAC.
    """

    version: str
    timestamp: str
    key_id: str
    digest: str


def read_signature(header: Callable[[str], str | None]) -> Signature | None:
    """Read the headers of a notification.

    Parameters
    ----------
    header : Callable[[str], str or None]
        Returns a header of the call.

    Returns
    -------
    Signature or None
        None if the call is not signed.

    Raises
    ------
    ValueError
        If a header is missing or malformed.
    """
    signed = header("x-lf-signature")
    if signed is None:
        return None
    # Base64 may hold a slash too.
    key_id, slash, digest = signed.partition("/")
    version, timestamp = header("x-lf-notification-version"), header("x-lf-timestamp")
    if not (slash and version and timestamp and _TIMESTAMP.fullmatch(timestamp)):
        raise ValueError("a header is missing or malformed")
    if header("x-lf-algo") != ALGORITHM:
        raise ValueError("the algorithm is another one")
    return Signature(version, timestamp, key_id, digest)


def is_genuine(signature: Signature, body: bytes, key_id: str, key: str) -> bool:
    """Return whether a notification was signed with a key.

    Parameters
    ----------
    signature : Signature
        What its headers say.
    body : bytes
        Its body.
    key_id, key : str
        The key that the account has.

    Returns
    -------
    bool
        Whether it was. It takes as long for a wrong signature as for the right one.

    Raises
    ------
    ValueError
        If the body is not JSON.
    """
    head = f"{signature.version}:{ALGORITHM}:{signature.timestamp}"
    digests = [_digest(key, head + text) for text in _texts(body)]
    given = signature.digest.encode("utf-8", "surrogatepass")
    matches = [hmac.compare_digest(digest, given) for digest in digests]
    is_known = hmac.compare_digest(key_id.encode(), signature.key_id.encode("utf-8", "surrogatepass"))
    return is_known and any(matches)


def is_timely(signature: Signature, now: float) -> bool:
    """Return whether a notification is neither stale nor from the future.

    Parameters
    ----------
    signature : Signature
        What its headers say.
    now : float
        Seconds since the epoch.

    Returns
    -------
    bool
        Whether it is within `OLDEST` and `FURTHEST_AHEAD`.
    """
    return -FURTHEST_AHEAD <= now - int(signature.timestamp) / 1000 <= OLDEST


def matching[Owner](token: str, tokens: Iterable[tuple[str, Owner]]) -> Owner | None:
    """Return whose a token is. How long it takes does not tell how much of the token is right.

    Parameters
    ----------
    token : str
        The token of a call.
    tokens : iterable of tuple
        All tokens there are, each with its owner.

    Returns
    -------
    Owner or None
        None if it is nobody's.
    """
    given = token.encode("utf-8", "surrogatepass")
    # All of them are looked at.
    matches = [owner for own, owner in tokens if hmac.compare_digest(own.encode(), given)]
    return matches[0] if matches else None


def _texts(body: bytes) -> list[str]:
    """Return the texts that may have been signed for a body."""
    try:
        value = json.loads(body.decode(), parse_constant=_refuse)
        # The provider's words have the keys of the top level sorted, its sample those of every level.
        texts = [_text(value, sort_keys=True)]
        if isinstance(value, dict):
            texts.append(_text(dict(sorted(value.items())), sort_keys=False))
    except (ValueError, RecursionError):
        # The error would quote it.
        raise ValueError("the body is not JSON") from None
    return texts


def _refuse(_constant: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


def _text(value: Any, *, sort_keys: bool) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)


def _digest(key: str, text: str) -> bytes:
    digest = hmac.digest(key.encode(), text.encode("utf-8", "surrogatepass"), hashlib.sha1)
    return base64.b64encode(digest)
