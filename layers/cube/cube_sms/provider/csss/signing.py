"""Signature of a csss request.

``sign = Base64(HMAC-SHA1(secret, content))``. ``content`` is the JSON text of all non-empty parameters. Its top-level
keys are in byte order, and all below them is unchanged. The body on the wire is the same text with ``"sign"`` added, so
that one serialisation is both signed and sent. Sources: the provider's "send SMS" page and its overview of the CSSS API
family (docs/provider.md).

This module is pure: it imports only the standard library and `cube_sms.provider.canonical`.
"""

from __future__ import annotations

import binascii
import hmac
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from cube_sms.provider.canonical import CanonicalFormError, canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping


class Spelling(NamedTuple):
    """How the signed text is written. The default follows the provider's pages.

    Other values are for `cube-sms probe`, which finds out what the provider accepts.

    Parameters
    ----------
    sorts_keys : bool
        Whether the keys of the top level are sorted, or keep the order in which they were given.
    escapes_slashes, escapes_non_ascii : bool
        Whether ``/``, and characters that are not ASCII, are escaped as JSON allows.
    """

    sorts_keys: bool = True
    escapes_slashes: bool = False
    escapes_non_ascii: bool = False


AS_READ = Spelling()


def text_to_sign(parameters: Mapping[str, Any], spelling: Spelling = AS_READ) -> bytes:
    r"""Return the text that is signed: see `cube_sms.provider.canonical.canonical_json`.

    Parameters
    ----------
    parameters : Mapping[str, Any]
        The parameters of the request without ``sign``: JSON values with string keys at every level.
    spelling : Spelling
        How it is written.

    Returns
    -------
    bytes
        The UTF-8 text. Nothing below the top level is sorted or dropped.

    Raises
    ------
    CanonicalFormError
        For what has no canonical form, and for a ``sign`` given by the caller. The message never quotes a value.

    Examples
    --------
    >>> text_to_sign({"version": "2.0", "content": "1/2 é"}, Spelling(False, True, True))
    b'{"version":"2.0","content":"1\\/2 \\u00e9"}'
    """
    text = canonical_json(parameters)
    if "sign" in parameters:
        raise CanonicalFormError("sign: is computed here and cannot be given")
    if spelling == AS_READ:
        return text
    if not spelling.sorts_keys:
        members = [canonical_json({name: value})[1:-1] for name, value in parameters.items()]
        text = b"{%s}" % b",".join(filter(None, members))
    if spelling.escapes_slashes:
        # They occur only in strings.
        text = text.replace(b"/", rb"\/")
    if spelling.escapes_non_ascii:
        text = re.sub(r"[^\x00-\x7f]", lambda character: json.dumps(character[0])[1:-1], text.decode()).encode()
    return text


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


def signed_body(parameters: Mapping[str, Any], secret: str, spelling: Spelling = AS_READ) -> bytes:
    """Return the request body: the text that is signed, with ``"sign"`` added as its last member.

    Parameters
    ----------
    parameters : Mapping[str, Any]
        As for `text_to_sign`.
    secret : str
        The account's signing secret.
    spelling : Spelling
        As for `text_to_sign`.

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
    content = text_to_sign(parameters, spelling)
    comma = b"," if len(content) > len(b"{}") else b""
    return b'%s%s"sign":"%s"}' % (content[:-1], comma, _signature(content, secret).encode())


def _signature(content: bytes, secret: str) -> str:
    digest = hmac.digest(secret.encode(), content, "sha1")
    return binascii.b2a_base64(digest, newline=False).decode()
