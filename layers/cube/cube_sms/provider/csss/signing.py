"""Signature of a csss request.

``sign = Base64(HMAC-SHA1(secret, content))``, where ``content`` is the JSON text of all non-empty parameters with
the top-level keys in byte order and everything below them untouched. The body on the wire is that same text with
``"sign"`` added, so that what is signed and what is sent come from one serialisation. Sources: the provider's "send
SMS" page and its overview of the CSSS API family (docs/provider.md).

This module is pure: it imports the standard library and `cube_sms.provider.canonical` alone.
"""

from __future__ import annotations

import binascii
import hmac
from typing import TYPE_CHECKING, Any

from cube_sms.provider.canonical import CanonicalFormError, canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping


def text_to_sign(parameters: Mapping[str, Any]) -> bytes:
    """Return the text that is signed: see `cube_sms.provider.canonical.canonical_json`.

    Parameters
    ----------
    parameters : Mapping[str, Any]
        The parameters of the request without ``sign``: JSON values with string keys at every level.

    Returns
    -------
    bytes
        The UTF-8 text. Nothing below the top level is sorted or dropped.

    Raises
    ------
    CanonicalFormError
        For what has no canonical form, and for a ``sign`` given by the caller. The message never quotes a value.
    """
    if "sign" in parameters:
        raise CanonicalFormError("sign: is computed here and cannot be given")
    return canonical_json(parameters)


def sign(parameters: Mapping[str, Any], secret: str) -> str:
    """Return the signature of the parameters.

    Parameters
    ----------
    parameters : Mapping[str, Any]
        As for `text_to_sign`.
    secret : str
        The account's signing secret.

    Returns
    -------
    str
        Base64 of the 20 bytes of the HMAC-SHA1.

    Raises
    ------
    CanonicalFormError
        As for `text_to_sign`.

    Examples
    --------
    >>> sign({"version": "2.0", "deviceId": "8931"}, "test-secret")
    'KAZywjnQOY34mmzIjiuSggC1VR0='
    """
    return _signature(text_to_sign(parameters), secret)


def signed_body(parameters: Mapping[str, Any], secret: str) -> bytes:
    """Return the request body: the text that is signed, with ``"sign"`` added as its last member.

    Parameters
    ----------
    parameters : Mapping[str, Any]
        As for `text_to_sign`.
    secret : str
        The account's signing secret.

    Returns
    -------
    bytes
        The body to send, byte for byte.

    Raises
    ------
    CanonicalFormError
        As for `text_to_sign`.

    Examples
    --------
    >>> signed_body({"version": "2.0", "deviceId": "8931"}, "test-secret")
    b'{"deviceId":"8931","version":"2.0","sign":"KAZywjnQOY34mmzIjiuSggC1VR0="}'
    """
    content = text_to_sign(parameters)
    comma = b"," if len(content) > len(b"{}") else b""
    return b'%s%s"sign":"%s"}' % (content[:-1], comma, _signature(content, secret).encode())


def _signature(content: bytes, secret: str) -> str:
    digest = hmac.digest(secret.encode(), content, "sha1")
    return binascii.b2a_base64(digest, newline=False).decode()
