"""Signature of a Cube request.

``sign = Base64(HMAC-SHA1(secret, content))``, where ``content`` is the JSON text of all non-empty parameters with
the top-level keys in byte order and everything below them untouched. The body on the wire is that same text with
``"sign"`` added, so that what is signed and what is sent come from one serialisation. Sources: the provider's "send
SMS" page and its overview of the CSSS API family (docs/provider.md).

This module is pure and imports the standard library alone.
"""

from __future__ import annotations

import binascii
import hmac
import re
from json import JSONEncoder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class CanonicalFormError(ValueError):
    """The parameters have no canonical JSON text, so a signature over them would mean nothing."""


# What is nested in itself is found before, when the keys are looked at.
_ENCODER = JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"))

# Unicode's control characters (category Cc) but \n, \r and \t, as the encoder leaves them in its output: those below
# U+0020 as \b, \f or \u00XX behind an even number of backslashes, the others (U+007F to U+009F) as themselves. JSON
# libraries differ in how they print both kinds, so no text with one is certain to be signed alike on both sides.
_CONTROL = re.compile(r"[\x7f-\x9f]|(?<!\\)(?:\\\\)*\\(?:[bf]|u00)")


def canonical_json(parameters: Mapping[str, Any]) -> bytes:
    r"""Return the one JSON text of the parameters that Cube signs.

    Top-level parameters that are ``None`` or ``""`` are left out and the others sorted by the bytes of their key.
    Nothing below the top level is sorted or dropped. The text is compact UTF-8, with non-ASCII characters and ``/`` as
    themselves.

    Parameters
    ----------
    parameters : Mapping[str, Any]
        The parameters of the request without ``sign``: JSON values with string keys at every level.

    Returns
    -------
    bytes
        The UTF-8 text.

    Raises
    ------
    CanonicalFormError
        For what has no canonical form: a control character other than ``\n``, ``\r`` and ``\t``, NaN or an infinity,
        a lone surrogate, a key that is no string, a value that is not JSON, or a ``sign`` given by the caller. The
        message never quotes a value.

    Examples
    --------
    >>> canonical_json({"version": "2.0", "deviceId": "8931", "messageType": None})
    b'{"deviceId":"8931","version":"2.0"}'
    """
    try:
        parameters = dict(parameters)
        if "sign" in parameters:
            raise CanonicalFormError("sign: is computed here and cannot be given")
        _refuse_keys_that_are_no_strings(parameters)
        # Python's order of strings, by code point, is the order of their UTF-8 bytes.
        content = {key: value for key in sorted(parameters) if (value := parameters[key]) or value not in (None, "")}
        text = _ENCODER.encode(content)
        # The two searches of plain strings spare nearly every request the regular expression.
        if ("\\" in text or "\x7f" in text or not text.isascii()) and _CONTROL.search(text):
            raise CanonicalFormError("a control character other than \\n, \\r and \\t has no canonical form")
        return text.encode()
    except UnicodeEncodeError:
        raise CanonicalFormError("a lone surrogate has no canonical form") from None
    except (TypeError, AttributeError):
        raise CanonicalFormError("only JSON values with string keys have a canonical form") from None
    except RecursionError:
        raise CanonicalFormError("a value is nested too deeply or in itself") from None
    except CanonicalFormError:
        raise
    except ValueError:
        raise CanonicalFormError("a number that is NaN, infinite or too long has no canonical form") from None


def sign(parameters: Mapping[str, Any], secret: str) -> str:
    """Return the signature of the parameters.

    Parameters
    ----------
    parameters : Mapping[str, Any]
        As for `canonical_json`.
    secret : str
        The account's signing secret.

    Returns
    -------
    str
        Base64 of the 20 bytes of the HMAC-SHA1.

    Raises
    ------
    CanonicalFormError
        As for `canonical_json`.

    Examples
    --------
    >>> sign({"version": "2.0", "deviceId": "8931"}, "test-secret")
    'KAZywjnQOY34mmzIjiuSggC1VR0='
    """
    return _signature(canonical_json(parameters), secret)


def signed_body(parameters: Mapping[str, Any], secret: str) -> bytes:
    """Return the request body: the canonical JSON with ``"sign"`` added as its last member.

    Parameters
    ----------
    parameters : Mapping[str, Any]
        As for `canonical_json`.
    secret : str
        The account's signing secret.

    Returns
    -------
    bytes
        The body to send, byte for byte.

    Raises
    ------
    CanonicalFormError
        As for `canonical_json`.

    Examples
    --------
    >>> signed_body({"version": "2.0", "deviceId": "8931"}, "test-secret")
    b'{"deviceId":"8931","version":"2.0","sign":"KAZywjnQOY34mmzIjiuSggC1VR0="}'
    """
    content = canonical_json(parameters)
    comma = b"," if len(content) > len(b"{}") else b""
    return b'%s%s"sign":"%s"}' % (content[:-1], comma, _signature(content, secret).encode())


def _refuse_keys_that_are_no_strings(value: object) -> None:
    # The encoder would print the key 1 as "1" without a word.
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError
            if item.__class__ is not str:
                _refuse_keys_that_are_no_strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            if item.__class__ is not str:
                _refuse_keys_that_are_no_strings(item)


def _signature(content: bytes, secret: str) -> str:
    digest = hmac.digest(secret.encode(), content, "sha1")
    return binascii.b2a_base64(digest, newline=False).decode()
