"""Accounts of both dialects in one secret: which account uses which, and what is reported of a wrong entry."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from cube_sms.provider.csss.credentials import CsssCredentials
from cube_sms.provider.v4.credentials import V4Credentials
from tests.unit.test_credentials import DEFAULT, MAX_AGE
from tests.unit.test_credentials_outage import Vault
from tests.v4_account import ENTRY, KEY, KEY_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE = load_pem_private_key(KEY.private.encode(), password=None)
# As the provider gives it, and as `openssl genrsa -traditional` does
PKCS1 = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
ENCRYPTED = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")).decode()
ELLIPTIC = (
    ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
)

BAD_KEYS: dict[str, Any] = {
    "empty": "",
    "null": None,
    "number": 7,
    "no PEM": "Zebra",
    "base64 alone": "".join(KEY.private.splitlines()[1:-1]),
    "cut": KEY.private[:300],
    "no line breaks": KEY.private.replace("\n", "\\n"),
    "the public half": KEY.public,
    "another kind": ELLIPTIC,
    "encrypted": ENCRYPTED,
    "half a pair": KEY.private + "\ud800",
}


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    vault = Vault()
    with vault.stub:
        yield vault


def v4(found: object) -> V4Credentials:
    assert isinstance(found, V4Credentials)
    return found


def test_each_account_has_the_credentials_of_its_dialect(vault: Vault) -> None:
    vault.answers(default=DEFAULT, fleet=ENTRY)
    assert isinstance(vault.store.get("default"), CsssCredentials)
    assert v4(vault.store.get("fleet")).key_id == KEY_ID
    assert vault.asked == 1


@pytest.mark.parametrize(
    "pem", [KEY.private, PKCS1, KEY.private.strip(), f"\n{KEY.private}\n", KEY.private.replace("\n", "\r\n")]
)
def test_key_is_taken_in_the_forms_it_comes_in(vault: Vault, pem: str) -> None:
    vault.answers(fleet=ENTRY | {"private_key": pem})
    assert v4(vault.store.get("fleet")).private_key.private_numbers() == PRIVATE.private_numbers()  # type: ignore[union-attr]


def test_key_is_read_once_for_each_fetch(vault: Vault) -> None:
    vault.answers(fleet=ENTRY)
    first = v4(vault.store.get("fleet"))
    assert v4(vault.store.get("fleet")).private_key is first.private_key
    # When the same is fetched again
    vault.now += MAX_AGE
    vault.answers(fleet=ENTRY)
    # Then it is the same account's, read again
    second = v4(vault.store.get("fleet"))
    assert second == first
    assert second.version == first.version + 1
    assert second.private_key is not first.private_key


@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_bad_key_is_named_and_not_shown(vault: Vault, key: Any) -> None:
    vault.answers(fleet=ENTRY | {"private_key": key})
    error = vault.error("fleet")
    assert "account 'fleet': private_key must be" in str(error)
    shown = "".join(traceback.format_exception(error))
    assert not [line for line in str(key).splitlines() if len(line) > 4 and "-----" not in line and line in shown]


@pytest.mark.parametrize("key_id", ["", None, 7, " key", "key\n", "ключ", "two words"])
def test_bad_id_of_a_key_is_named(vault: Vault, key_id: Any) -> None:
    vault.answers(fleet=ENTRY | {"key_id": key_id})
    assert "account 'fleet': key_id must" in str(vault.error("fleet"))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (DEFAULT | ENTRY, "not fields of both"),
        (DEFAULT | {"key_id": KEY_ID}, "not fields of both"),
        ({}, "has none of these"),
        ({"accessCode": "P002276"}, "has none of these"),
        ({"callback_token": "token"}, "has none of these"),
        ({"key_id": KEY_ID}, "private_key must be"),
        ({"private_key": KEY.private}, "key_id must be"),
        ({"access_code": "P002276"}, "secret must be"),
    ],
)
def test_entry_of_both_dialects_or_of_none_is_told(vault: Vault, entry: dict[str, str], said: str) -> None:
    vault.answers(fleet=entry)
    error = str(vault.error("fleet"))
    assert said in error
    assert "account 'fleet'" in error


def test_entry_may_have_fields_of_others(vault: Vault) -> None:
    vault.answers(fleet=ENTRY | {"callback_token": "token"}, default=DEFAULT | {"callback_key": "key"})
    assert v4(vault.store.get("fleet")).key_id == KEY_ID
    assert isinstance(vault.store.get("default"), CsssCredentials)


def test_account_that_moves_is_another_one_after_the_next_fetch(vault: Vault) -> None:
    # Given an account that used csss
    vault.answers(default=DEFAULT)
    refused = vault.store.get("default")
    # When its entry is another dialect's, and its credentials are refused
    vault.answers(default=ENTRY)
    # Then it uses that one
    assert v4(vault.store.refresh("default", refused)).key_id == KEY_ID


def test_repr_shows_no_key() -> None:
    shown = repr(V4Credentials.from_entry(ENTRY, 1))
    assert KEY_ID in shown
    assert not [line for line in KEY.private.splitlines() if line in shown]
