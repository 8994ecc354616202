"""Verify that a callback is the provider's: its token, signature and time. Pure, with the standard library only."""

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

The provider resends for 24 hours, and does not say whether a resend has a new timestamp. A shorter time could lose
replies after an outage of the gateway. A replayed notification has the ``eventId`` of the first one.
"""

FURTHEST_AHEAD = 600
"""Seconds that the provider's clock may be ahead of ours. The provider allows our clock the same."""

TIMESTAMP = re.compile(r"[0-9]{1,15}")
"""Milliseconds since the epoch, as the header has them."""


class Signature(NamedTuple):
    """The headers of a signed notification.

    Parameters
    ----------
    version : str
        Version of the notification.
    timestamp : str
        Milliseconds since the epoch.
    key_id : str
        Id of the key that signed it.
    digest : str
        The HMAC in Base64.
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
    # Base64 can contain a slash too.
    key_id, slash, digest = signed.partition("/")
    version, timestamp = header("x-lf-notification-version"), header("x-lf-timestamp")
    if not (slash and version and timestamp and TIMESTAMP.fullmatch(timestamp)):
        raise ValueError("a header is missing or malformed")
    if header("x-lf-algo") != ALGORITHM:
        raise ValueError("the algorithm is another one")
    return Signature(version, timestamp, key_id, digest)


def is_genuine(signature: Signature, body: bytes, key_id: str, key: str) -> bool:
    """Return whether a notification was signed with a key.

    Parameters
    ----------
    signature : Signature
        Its headers.
    body : bytes
        Its body.
    key_id, key : str
        The account's key.

    Returns
    -------
    bool
        Whether it was. The duration is the same for a wrong signature.

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
        Its headers.
    now : float
        Seconds since the epoch.

    Returns
    -------
    bool
        Whether its time is within `OLDEST` and `FURTHEST_AHEAD`.
    """
    return -FURTHEST_AHEAD <= now - int(signature.timestamp) / 1000 <= OLDEST


def matching[Owner](token: str, tokens: Iterable[tuple[str, Owner]]) -> Owner | None:
    """Return the owner of a token. The duration does not depend on how much of the token is right.

    Parameters
    ----------
    token : str
        Token of a call.
    tokens : iterable of tuple
        All tokens, each with its owner.

    Returns
    -------
    Owner or None
        None if no owner has the token.
    """
    given = token.encode("utf-8", "surrogatepass")
    # Compare with all of them: an early end would show in the duration.
    matches = [owner for own, owner in tokens if hmac.compare_digest(own.encode(), given)]
    return matches[0] if matches else None


def _texts(body: bytes) -> list[str]:
    """Return the texts that may have been signed for a body."""
    try:
        value = json.loads(body.decode(), parse_constant=_refuse)
        # The provider's text sorts the keys of the top level, its sample those of every level.
        texts = [_text(value, sort_keys=True)]
        if isinstance(value, dict):
            texts.append(_text(dict(sorted(value.items())), sort_keys=False))
    except (ValueError, RecursionError):
        # The original error would quote the body.
        raise ValueError("the body is not JSON") from None
    return texts


def _refuse(_constant: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


def _text(value: Any, *, sort_keys: bool) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)


def _digest(key: str, text: str) -> bytes:
    digest = hmac.digest(key.encode(), text.encode("utf-8", "surrogatepass"), hashlib.sha1)
    return base64.b64encode(digest)
