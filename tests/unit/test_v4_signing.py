"""The signature of v4, held against the provider's own text, a second implementation and the openssl command line."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from cube_sms.provider.canonical import CanonicalFormError
from cube_sms.provider.v4.signing import body, members_of, sign, text_to_sign
from local.keys import KeyPair
from tests.unit.test_signing_properties import texts, values

if TYPE_CHECKING:
    from pathlib import Path

    from cube_sms.provider.v4.signing import Members, Spaces

KEY = KeyPair.new()
OWN = ("nonce", "timestamp", "x-sign-uri")
SIGNED = ("1", "1674197059220", "/cube/v4/sms")

parameters_of_any_kind = st.dictionaries(texts.filter(lambda name: name not in OWN), values, max_size=6)
each_run = settings(max_examples=80)


def text_of(members: Members, spaces: Spaces = "keep") -> bytes:
    nonce, timestamp, uri = SIGNED
    return text_to_sign(members, nonce=nonce, timestamp=timestamp, uri=uri, spaces=spaces)


def private_key() -> RSAPrivateKey:
    key = load_pem_private_key(KEY.private.encode(), password=None)
    assert isinstance(key, RSAPrivateKey)
    return key


def reference(parameters: dict[str, Any], **more: str) -> bytes:
    kept = {name: value for name, value in parameters.items() if value is not None and value != ""}
    return json.dumps({**kept, **more}, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def test_text_is_the_providers_own() -> None:
    # Given the example of the provider's page, in no certain order
    members = members_of({"cycles": 3, "bundle_id": "LP09823222320", "bundle_type": 10})
    uri = "/cube/v4/sims/89000100010003125832/bundle"
    assert text_to_sign(members, nonce="1", timestamp="1674197059220", uri=uri).decode() == (
        '{"bundle_id":"LP09823222320","bundle_type":10,"cycles":3,"nonce":"1","timestamp":"1674197059220",'
        '"x-sign-uri":"/cube/v4/sims/89000100010003125832/bundle"}'
    )


def test_message_is_sorted_at_every_level() -> None:
    members = members_of({"sim_ids": ["8931", "8930"], "message": {"type": 1, "content": "温度/é 😀"}})
    assert body(members).decode() == '{"message":{"content":"温度/é 😀","type":1},"sim_ids":["8931","8930"]}'
    assert text_of(members).decode() == (
        '{"message":{"content":"温度/é 😀","type":1},"nonce":"1","sim_ids":["8931","8930"],'
        '"timestamp":"1674197059220","x-sign-uri":"/cube/v4/sms"}'
    )


@each_run
@given(parameters_of_any_kind)
def test_text_and_body_are_what_the_reference_prints(parameters: dict[str, Any]) -> None:
    members = members_of(parameters)
    assert body(members) == reference(parameters)
    own = dict(zip(OWN, SIGNED, strict=True))
    assert text_of(members) == reference(parameters, **own)


@each_run
@given(parameters_of_any_kind)
def test_body_is_in_the_text_member_by_member(parameters: dict[str, Any]) -> None:
    members = members_of(parameters)
    text = text_of(members)
    assert all(member in text and member in body(members) for member in members.values())


@each_run
@given(parameters_of_any_kind)
def test_spaces_are_kept_in_the_body_whatever_becomes_of_them_in_the_text(parameters: dict[str, Any]) -> None:
    members = members_of(parameters)
    removed = text_of(members, "remove")
    assert removed == text_of(members).replace(b" ", b"")
    assert body(members) == reference(parameters)


@pytest.mark.parametrize("text", ["\x00", "\x7f", "\x85", "\ud800"])
def test_what_has_no_canonical_form_is_refused(text: str) -> None:
    with pytest.raises(CanonicalFormError):
        members_of({"message": {"content": f"Zebra{text}"}})


@pytest.mark.parametrize("spaces", ["keep", "remove"])
def test_signature_is_the_one_that_openssl_makes(tmp_path: Path, spaces: Spaces) -> None:
    # Given a text with spaces, and the key in a file
    members = members_of({"sim_ids": ["8931"], "message": {"type": 1, "content": "Wake up, 温度 😀"}})
    text = text_of(members, spaces)
    path = tmp_path / "key.pem"
    path.write_text(KEY.private, "utf-8")
    # When openssl signs it
    command = ["openssl", "dgst", "-sha1", "-sign", str(path)]
    made = subprocess.run(command, input=text, capture_output=True, check=True).stdout
    # Then both are the same: PKCS #1 v1.5 has no salt
    assert sign(text, private_key()) == base64.b64encode(made).decode()
