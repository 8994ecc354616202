"""Signature of a v4 request, type 2.0.

``sign = Base64(SHA1withRSA(text))``, where ``text`` is the JSON of the body's parameters together with ``timestamp``,
``nonce`` and ``x-sign-uri``, sorted at every level. Body and text are put together from the same members, each of which
is serialised once. Source: the provider's Cube v4 documentation (docs/provider.md).

This module is pure: it imports the standard library, `cryptography` and `cube_sms.provider.canonical` alone.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Any, Literal

from cube_sms.provider.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

type Members = Mapping[str, bytes]
"""The members of a JSON object by their names, each as its text."""

type Spaces = Literal["keep", "remove"]
"""Whether the spaces of a text are kept before it is signed."""


def members_of(parameters: Mapping[str, Any]) -> Members:
    """Return parameters as the members of a JSON object, sorted at every level. Null and empty ones are left out.

    Parameters
    ----------
    parameters : Mapping[str, Any]
        JSON values with string keys at every level.

    Returns
    -------
    Mapping[str, bytes]
        Each member's text.

    Raises
    ------
    CanonicalFormError
        As for `cube_sms.provider.canonical.canonical_json`.

    Examples
    --------
    >>> members_of({"bundle_type": 10, "bundle_id": "LP1"})
    {'bundle_type': b'"bundle_type":10', 'bundle_id': b'"bundle_id":"LP1"'}
    """
    texts = {name: canonical_json({name: value}, sorts_every_level=True) for name, value in parameters.items()}
    return {name: text[1:-1] for name, text in texts.items() if text != b"{}"}


def body(members: Members) -> bytes:
    """Return the JSON object of these members: the body to send, byte for byte.

    Examples
    --------
    >>> body(members_of({"bundle_type": 10, "bundle_id": "LP1"}))
    b'{"bundle_id":"LP1","bundle_type":10}'
    """
    return b"{%s}" % b",".join(members[name] for name in sorted(members))


def text_to_sign(members: Members, *, nonce: str, timestamp: str, uri: str, spaces: Spaces = "keep") -> bytes:
    """Return the text that is signed.

    Parameters
    ----------
    members : Mapping[str, bytes]
        Those of the body: see `members_of`.
    nonce, timestamp : str
        The headers of these names. The timestamp is in milliseconds.
    uri : str
        The whole path, with its prefix.
    spaces : {"keep", "remove"}
        Whether spaces are kept, those within values among them. The provider's sample for an older signature removes
        them, and its page for this one does not mention them.

    Returns
    -------
    bytes
        The UTF-8 text.

    Raises
    ------
    CanonicalFormError
        As for `cube_sms.provider.canonical.canonical_json`.

    Examples
    --------
    >>> text_to_sign(members_of({"cycles": 3}), nonce="1", timestamp="1674197059220", uri="/cube/v4/sims/8900/bundle")
    b'{"cycles":3,"nonce":"1","timestamp":"1674197059220","x-sign-uri":"/cube/v4/sims/8900/bundle"}'
    """
    text = body({**members, **members_of({"nonce": nonce, "timestamp": timestamp, "x-sign-uri": uri})})
    return text.replace(b" ", b"") if spaces == "remove" else text


def sign(text: bytes, private_key: RSAPrivateKey) -> str:
    """Return the signature of a text.

    Parameters
    ----------
    text : bytes
        What `text_to_sign` returns.
    private_key : RSAPrivateKey
        The account's key.

    Returns
    -------
    str
        Base64 of the signature, RSA with SHA-1 and PKCS #1 v1.5.
    """
    # Imported late: it takes as long as all else of a cold start, and only accounts that use v4 need it.
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    signature = private_key.sign(text, PKCS1v15(), hashes.SHA1())  # noqa: S303 # nosec B303 # the provider asks for it
    return binascii.b2a_base64(signature, newline=False).decode()
