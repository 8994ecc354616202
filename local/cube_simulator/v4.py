"""Cube v4: what a request says, its signature, and its checks.

Written from the provider's documentation alone and sharing no code with the client under test, as `signature` is.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable
from functools import cache
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from local.cube_simulator import signature
from local.cube_simulator.answers import RefusedError
from local.cube_simulator.checks import CLOCK_TOLERANCE, refuse_devices
from local.cube_simulator.config import Config
from local.cube_simulator.request import Request, Told, text

MOST_SIMS = 100
MOST_BINARY_DIGITS = 280
TYPES = {1: "Text", 2: "Binary"}
_DIGEST = hashes.SHA1()  # noqa: S303 # nosec B303 # the provider's choice
_HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2})+")


@cache
def _public_key(pem: str) -> RSAPublicKey:
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, RSAPublicKey)  # noqa: S101 - the configuration takes no other
    return key


def told(request: Request, parameters: signature.Parameters) -> Told:
    """Return what can be read of a request before it is checked."""
    sims, message = parameters.get("sim_ids"), parameters.get("message")
    message = message if isinstance(message, dict) else {}
    kind = message.get("type")
    return Told(
        devices=[text(sim) for sim in sims] if isinstance(sims, list) else [None],
        account=_authorization(request)[0] or None,
        message_type=TYPES.get(kind) if isinstance(kind, int) else None,
        contents=[text(message.get("content"))],
        nonce=request.headers.get("nonce"),
    )


def check(request: Request, config: Config, now: float) -> None:
    """Check a request that sends, whole.

    Raises
    ------
    RefusedError
        With the reason of the first check that fails.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedError("content-type")
    try:
        parameters = signature.parse(request.body)
    except ValueError as error:
        raise RefusedError("json", str(error)) from None
    check_signature(request, parameters, config, now)
    for name in ("sim_ids", "message"):
        if not parameters.get(name):
            raise RefusedError("missing", name)
    sims = parameters["sim_ids"]
    if not isinstance(sims, list) or not all(isinstance(sim, str) and sim for sim in sims):
        raise RefusedError("fields", "sim_ids must be an array of strings")
    if len(sims) > MOST_SIMS:
        raise RefusedError("fields", f"sim_ids must have at most {MOST_SIMS}")
    if len(set(sims)) < len(sims):
        raise RefusedError("fields", "sim_ids holds a SIM twice")
    message = parameters["message"]
    kind = message.get("type") if isinstance(message, dict) else None
    if not isinstance(message, dict) or type(kind) is not int or kind not in TYPES:
        raise RefusedError("fields", "message.type must be 1 or 2")
    _check_content(message.get("content"), is_binary=kind == 2)
    refuse_devices(sims, config)


def check_signature(request: Request, parameters: signature.Parameters, config: Config, now: float) -> None:
    """Check who made a request, and when.

    Raises
    ------
    RefusedError
        With the reason of the first check that fails.
    """
    headers = request.headers
    key_id, sign = _authorization(request)
    keys = config.keys.get(key_id)
    if keys is None:
        raise RefusedError("access-code")
    if headers.get("x-lf-signature-type") != "2.0":
        raise RefusedError("fields", "X-LF-Signature-Type must be 2.0")
    timestamp, nonce = headers.get("timestamp", ""), headers.get("nonce", "")
    if not re.fullmatch("[0-9]{13}", timestamp, re.ASCII):
        raise RefusedError("fields", "timestamp must be milliseconds")
    if not nonce:
        raise RefusedError("missing", "nonce")
    if abs(now - int(timestamp) / 1000) > CLOCK_TOLERANCE:
        raise RefusedError("timestamp")
    own: signature.Parameters = {"nonce": nonce, "timestamp": timestamp, "x-sign-uri": request.path}
    try:
        texts = [
            _sorted_json(parameters | own),
            # Null and empty values may be left out.
            _sorted_json({name: value for name, value in parameters.items() if value not in (None, "", [], {})} | own),
        ]
    except (ValueError, RecursionError) as error:
        raise RefusedError("json", str(error)) from None
    if config.signed_spaces == "remove":
        texts = [each.replace(b" ", b"") for each in texts]
    if not any(_is_signed(each, sign, keys) for each in texts):
        raise RefusedError("signature")


def query_parameters(query: str) -> dict[str, object]:
    """Return the parameters of a query as they are signed: as strings, those that are repeated joined with commas."""
    return {name: ",".join(values) for name, values in parse_qs(query, keep_blank_values=True).items()}


def _authorization(request: Request) -> tuple[str, str]:
    # Base64 may hold a slash: the first one ends the key's id.
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    key_id, _, sign = rest.partition("/")
    return (key_id, sign) if scheme == "LF" else ("", "")


def _check_content(content: object, *, is_binary: bool) -> None:
    if not isinstance(content, str) or not content:
        raise RefusedError("content", "message.content must be a string, not empty")
    if is_binary and (len(content) > MOST_BINARY_DIGITS or not _HEXADECIMAL.fullmatch(content)):
        raise RefusedError("content", "message.content must be hexadecimal digits")


def _sorted_json(value: object) -> bytes:
    # Numbers print as they were read: what is signed has integers alone.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _is_signed(signed: bytes, sign: str, pems: Iterable[str]) -> bool:
    try:
        given = base64.b64decode(sign, validate=True)
    except (binascii.Error, ValueError):
        return False
    for pem in pems:
        try:
            _public_key(pem).verify(given, signed, padding.PKCS1v15(), _DIGEST)
        except InvalidSignature:
            continue
        return True
    return False
