"""The provider's signature, checked on the bytes that arrived.

It is written from the provider's documentation alone, and shares no code with the client under test. So it is evidence
if both agree.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable

PAGE_ORDER = ("version", "access_code", "timestamp", "deviceId", "messageType", "smsContentList")

type Parameters = dict[str, object]


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> Parameters:
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise ValueError("duplicate key")
    return parameters


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def parse(raw: bytes) -> Parameters:
    """Read a request body strictly, keeping the order of every field.

    Raises
    ------
    ValueError
        If the body is not UTF-8, not one JSON object, or repeats a key at any level.
    """
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def signed_text(
    parameters: Parameters,
    *,
    key_order: str = "sorted",
    escape_slashes: bool = False,
    escape_non_ascii: bool = False,
) -> bytes:
    """Return the text that is signed: only the top level is sorted and rid of empty values, never what is below.

    What the provider's pages leave open can be otherwise: keys in the order of its page, and escapes that JSON allows.

    Raises
    ------
    ValueError
        If a string holds a lone surrogate, which has no UTF-8 form.
    """
    kept = {key: value for key, value in parameters.items() if key != "sign" and value is not None and value != ""}
    keys = sorted(kept, key=str.encode)
    if key_order == "page":
        keys.sort(key=lambda key: PAGE_ORDER.index(key) if key in PAGE_ORDER else len(PAGE_ORDER))
    ordered = {key: kept[key] for key in keys}
    text = json.dumps(ordered, ensure_ascii=escape_non_ascii, separators=(",", ":"))
    return (text.replace("/", "\\/") if escape_slashes else text).encode()


def is_signed(text: bytes, sign: str, secrets: Iterable[str]) -> bool:
    """Return whether `sign` was made with one of the secrets, of which there are two while they are rotated."""
    return any(
        # Bytes, because compare_digest refuses text that is not ASCII.
        hmac.compare_digest(
            base64.b64encode(hmac.digest(secret.encode(), text, hashlib.sha1)), sign.encode(errors="replace")
        )
        for secret in secrets
    )


def is_canonical(raw: bytes, text: bytes, sign: str) -> bool:
    """Return whether the body is the signed text itself with the signature as its last field, byte for byte."""
    return raw == text[:-1] + b',"sign":' + json.dumps(sign).encode() + b"}"
