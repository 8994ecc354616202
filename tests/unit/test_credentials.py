"""The accounts' credentials while Secrets Manager answers."""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from moto import mock_aws

from cube_sms.provider.base import CredentialsError, UnknownAccountError
from cube_sms.provider.credentials import RETRY_SECONDS, CredentialStore
from cube_sms.provider.csss.credentials import CsssCredentials
from tests.support import csss

if TYPE_CHECKING:
    from collections.abc import Iterator

    import boto3
    from mypy_boto3_secretsmanager import SecretsManagerClient

NAME = "cube-sms/credentials"
MAX_AGE = 300.0
DEFAULT = {"access_code": "P002276", "secret": "Zebra-1"}
FLEET = {"access_code": "P002277", "secret": "Zebra-2"}
ROTATED = {"access_code": "P002276", "secret": "Zebra-3"}


class Vault:
    """Secrets Manager with one secret, a clock, and a count of how often it was asked."""

    def __init__(self, session: boto3.Session) -> None:
        self.now = 1_643_253_530.0
        self.asked = 0
        self.client: SecretsManagerClient = session.client("secretsmanager", region_name="eu-central-1")
        self.client.meta.events.register("provide-client-params.secrets-manager.GetSecretValue", self._count)
        self.store = CredentialStore(self.client, NAME, max_age=MAX_AGE, patience=60.0, clock=lambda: self.now)

    def _count(self, **_event: Any) -> None:
        self.asked += 1

    def create(self, **accounts: Any) -> None:
        self.client.create_secret(Name=NAME, SecretString=json.dumps(accounts))

    def put(self, **accounts: Any) -> None:
        self.client.put_secret_value(SecretId=NAME, SecretString=json.dumps(accounts))

    def error(self, account: str = "default") -> CredentialsError:
        with pytest.raises(CredentialsError) as caught:
            self.store.get(account)
        assert NAME in str(caught.value)
        assert "Zebra" not in "".join(traceback.format_exception(caught.value))
        return caught.value


@pytest.fixture
def vault(boto3_session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        yield Vault(boto3_session)


def test_accounts_come_from_one_secret_fetched_once(vault: Vault) -> None:
    vault.create(default=DEFAULT, fleet=FLEET)

    assert vault.asked == 0
    assert vault.store.get("default") == CsssCredentials("P002276", "Zebra-1")
    assert vault.store.get("fleet") == CsssCredentials("P002277", "Zebra-2")
    assert not vault.store.get("default").stale
    assert vault.asked == 1


def test_value_is_kept_until_its_age(vault: Vault) -> None:
    # Given credentials that were fetched and have changed since
    vault.create(default=DEFAULT)
    vault.store.get("default")
    vault.put(default=ROTATED)

    # When they are almost too old, then they are used still; at their age they are fetched again
    vault.now += MAX_AGE - 0.1
    assert csss(vault.store.get("default")).secret == "Zebra-1"
    vault.now += 0.1
    assert csss(vault.store.get("default")).secret == "Zebra-3"
    assert vault.asked == 2


def test_new_account_is_found_before_the_value_is_too_old(vault: Vault) -> None:
    # Given a new account in a secret that was fetched before
    vault.create(default=DEFAULT)
    vault.store.get("default")
    vault.put(default=DEFAULT, fleet=FLEET)

    vault.now += RETRY_SECONDS
    assert vault.store.get("fleet") == CsssCredentials("P002277", "Zebra-2")
    assert vault.asked == 2


def test_unknown_account_is_named_and_not_asked_for_again_and_again(vault: Vault) -> None:
    vault.create(default=DEFAULT)

    for _ in range(10):
        error = vault.error("nobody")  # prose: allow P004 an account's name
        assert isinstance(error, UnknownAccountError)
        assert "nobody" in str(error)
        vault.now += RETRY_SECONDS / 20
    assert vault.asked == 1

    vault.now += RETRY_SECONDS / 2
    vault.error("nobody")  # prose: allow P004 an account's name
    assert vault.asked == 2
    assert csss(vault.store.get("default")).secret == "Zebra-1"


def test_missing_secret_is_named_and_found_once_it_is_there(vault: Vault) -> None:
    # Given no secret, and messages that come nevertheless
    for _ in range(10):
        error = vault.error()
        assert not isinstance(error, UnknownAccountError)
        assert "ResourceNotFoundException" in str(error)
    assert vault.asked == 1

    # When it is created, then it is found after some seconds and not before
    vault.create(default=DEFAULT)
    vault.now += RETRY_SECONDS - 0.1
    vault.error()
    vault.now += 0.1
    assert csss(vault.store.get("default")).secret == "Zebra-1"


@pytest.mark.parametrize(
    "text",
    ["Zebra", "{Zebra", '"Zebra"', '["Zebra"]', "null", " ", '{"default": "Zebra"', '{"default": {"a": "\ufeff'],
)
def test_secret_that_is_no_json_object_is_named(vault: Vault, text: str) -> None:
    vault.client.create_secret(Name=NAME, SecretString=text)
    assert not isinstance(vault.error(), UnknownAccountError)
    assert "JSON" in str(vault.error())


def test_binary_secret_is_named(vault: Vault) -> None:
    vault.client.create_secret(Name=NAME, SecretBinary=b"Zebra")
    assert "JSON" in str(vault.error())


@pytest.mark.parametrize("field", ["access_code", "secret"])
@pytest.mark.parametrize("value", [None, "", 5, ["Zebra"], {"Zebra": "Zebra"}, True])
def test_field_that_is_no_string_is_named_with_its_account(vault: Vault, field: str, value: Any) -> None:
    # Given one account with a wrong field, or without it, and another that is well
    vault.create(default=DEFAULT | {field: value}, fleet=FLEET)
    assert all(name in str(vault.error()) for name in ("default", field))
    assert csss(vault.store.get("fleet")).secret == "Zebra-2"

    vault.put(default={name: text for name, text in DEFAULT.items() if name != field})
    vault.now += MAX_AGE
    assert all(name in str(vault.error()) for name in ("default", field))


def test_access_code_that_cannot_be_signed_is_named_with_its_account(vault: Vault) -> None:
    vault.create(default=DEFAULT | {"access_code": "P00\u007f2276"}, fleet=FLEET)
    assert all(name in str(vault.error()) for name in ("default", "access_code"))
    assert csss(vault.store.get("fleet")).access_code == "P002277"


@pytest.mark.parametrize("entry", [None, "Zebra", ["Zebra"], {}, 1])
def test_account_that_is_no_object_with_both_fields_is_named(vault: Vault, entry: Any) -> None:
    vault.create(default=entry)
    assert "default" in str(vault.error())


def test_other_members_of_an_account_are_passed_over(vault: Vault) -> None:
    vault.create(default=DEFAULT | {"comment": ["anything"]})
    assert csss(vault.store.get("default")).access_code == "P002276"


def test_secret_is_shown_nowhere(vault: Vault) -> None:
    vault.create(default=DEFAULT)
    credentials = vault.store.get("default")
    for shown in (repr(credentials), str(credentials), f"{credentials}", repr([credentials]), repr(vault.store)):
        assert "Zebra" not in shown


def test_refused_credentials_are_fetched_afresh(vault: Vault) -> None:
    # Given credentials that were rotated right after they were fetched
    vault.create(default=DEFAULT, fleet=FLEET)
    refused = vault.store.get("default")
    vault.put(default=ROTATED, fleet=FLEET)

    # When Cube refuses the old ones, then all callers get the new ones at once
    assert csss(vault.store.refresh("default", refused)).secret == "Zebra-3"
    assert csss(vault.store.get("default")).secret == "Zebra-3"
    assert vault.asked == 2

    # And a caller that was refused later with the old ones gets the new ones from memory
    assert csss(vault.store.refresh("default", refused)).secret == "Zebra-3"
    assert vault.asked == 2


def test_account_that_is_gone_when_its_credentials_are_refused_is_unknown(vault: Vault) -> None:
    vault.create(default=DEFAULT)
    refused = vault.store.get("default")
    vault.put(fleet=FLEET)

    with pytest.raises(UnknownAccountError):
        vault.store.refresh("default", refused)


def test_members_are_those_of_the_accounts_that_have_them(vault: Vault) -> None:
    # Given entries with a member beside the credentials, without them, without it, malformed, and one that is none
    vault.create(
        default={**DEFAULT, "token": "a"},
        alone={"token": "b", "key": "c"},
        none=FLEET,
        spaced={"token": "Zebra-4 ", "key": "c"},
        number={"token": 4},
        text="Zebra-5",
    )

    # When they are asked for
    members = vault.store.members("token", "key")

    # Then the valid ones are there, and of the others what is wrong, without a value
    assert members.accounts == {"default": {"token": "a"}, "alone": {"token": "b", "key": "c"}}
    assert members.faults == (
        f"secret {NAME}, account 'spaced': token must not begin or end with white space",
        f"secret {NAME}, account 'number': token must be a string",
    )
    # And the credentials of the others are as they were
    assert vault.store.get("default") == CsssCredentials("P002276", "Zebra-1")
    assert vault.asked == 1


def test_members_are_fetched_afresh_at_most_every_few_seconds(vault: Vault) -> None:
    # Given members that were fetched and have changed since
    vault.create(default={**DEFAULT, "token": "a"})
    vault.store.members("token")
    vault.put(default={**DEFAULT, "token": "b"})

    # When fresh ones are asked for at once, then the secret is not fetched
    assert vault.store.members("token", afresh=True).accounts == {"default": {"token": "a"}}

    # When some seconds later, then they are the new ones
    vault.now += RETRY_SECONDS
    assert vault.store.members("token").accounts == {"default": {"token": "a"}}
    assert vault.store.members("token", afresh=True).accounts == {"default": {"token": "b"}}
    assert vault.asked == 2


def test_without_the_secret_there_are_no_members(vault: Vault) -> None:
    with pytest.raises(CredentialsError, match=NAME):
        vault.store.members("token")
