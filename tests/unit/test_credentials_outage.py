"""The accounts' credentials while Secrets Manager is unavailable."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from botocore.stub import Stubber

from cube_sms.provider.base import CredentialsError, UnknownAccountError
from cube_sms.provider.credentials import RETRY_SECONDS, CredentialStore
from cube_sms.provider.csss.credentials import CsssCredentials
from tests.support import csss
from tests.unit.test_credentials import DEFAULT, FLEET, MAX_AGE, NAME, ROTATED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_secretsmanager import SecretsManagerClient

THROTTLED = ("ThrottlingException", 400)
AWAY = [
    THROTTLED,
    ("Throttling", 400),
    ("TooManyRequestsException", 429),
    ("RequestLimitExceeded", 400),
    ("InternalServiceError", 500),
    ("InternalFailure", 500),
    ("ServiceUnavailable", 503),
    ("502", 502),
    ("SomethingNobodyHasHeardOf", 500),
]
UNREACHABLE: list[BotoCoreError] = [
    EndpointConnectionError(endpoint_url="https://secretsmanager"),
    ConnectTimeoutError(endpoint_url="https://secretsmanager"),
    ReadTimeoutError(endpoint_url="https://secretsmanager"),
]
OUR_FAULT = [
    ("AccessDeniedException", 400),
    ("ResourceNotFoundException", 400),
    ("InvalidRequestException", 400),
    ("DecryptionFailure", 400),
]


class Vault:
    """Secrets Manager with its next answers laid out, a clock, and a count of how often it was asked."""

    def __init__(self) -> None:
        self.now = 1_643_253_530.0
        self.asked = 0
        self.client: SecretsManagerClient = boto3.client(
            "secretsmanager",
            region_name="eu-central-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(retries={"total_max_attempts": 1}),
        )
        self.client.meta.events.register("provide-client-params.secrets-manager.GetSecretValue", self._count)
        self.stub = Stubber(self.client)
        self.store = CredentialStore(self.client, NAME, max_age=MAX_AGE, patience=60.0, clock=lambda: self.now)

    def _count(self, **_event: Any) -> None:
        self.asked += 1

    def answers(self, **accounts: Any) -> None:
        self.stub.add_response("get_secret_value", {"SecretString": json.dumps(accounts)}, {"SecretId": NAME})

    def fails(self, code: str, status: int) -> None:
        self.stub.add_client_error("get_secret_value", code, "Zebra", status, expected_params={"SecretId": NAME})

    def error(self, account: str = "default") -> CredentialsError:
        with pytest.raises(CredentialsError) as caught:
            self.store.get(account)
        assert NAME in str(caught.value)
        assert "Zebra" not in str(caught.value)
        return caught.value


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    vault = Vault()
    with vault.stub:
        yield vault
        vault.stub.assert_no_pending_responses()


@pytest.mark.parametrize(("code", "status"), AWAY)
def test_last_good_value_serves_while_secrets_manager_is_away(vault: Vault, code: str, status: int) -> None:
    # Given credentials that are too old, and a Secrets Manager that is unavailable
    vault.answers(default=DEFAULT)
    vault.store.get("default")
    vault.now += MAX_AGE
    vault.fails(code, status)

    # When they are needed again and again, then they are served as stale, and it is asked once
    for _ in range(10):
        credentials = vault.store.get("default")
        assert (csss(credentials).secret, credentials.stale) == ("Zebra-1", True)
        vault.now += RETRY_SECONDS / 20
    assert vault.asked == 2

    # When it is back some seconds later, then they are fresh
    vault.answers(default=ROTATED)
    vault.now += RETRY_SECONDS / 2
    credentials = vault.store.get("default")
    assert (csss(credentials).secret, credentials.stale) == ("Zebra-3", False)

    # And they are kept for the usual time
    vault.now += MAX_AGE - 1
    assert not vault.store.get("default").stale
    assert vault.asked == 3


@pytest.mark.parametrize("error", UNREACHABLE, ids=lambda error: type(error).__name__)
def test_last_good_value_serves_while_secrets_manager_cannot_be_reached(vault: Vault, error: BotoCoreError) -> None:
    # Given credentials that are too old, and no way to Secrets Manager
    vault.answers(default=DEFAULT)
    vault.store.get("default")
    vault.now += MAX_AGE

    def unreachable(**_event: Any) -> None:
        raise error

    vault.stub.deactivate()
    vault.client.meta.events.register("before-send.secrets-manager.GetSecretValue", unreachable)

    for _ in range(3):
        assert vault.store.get("default") == CsssCredentials("P002276", "Zebra-1")
        assert vault.store.get("default").stale
    assert vault.asked == 2

    # When there is one again, then they are fresh
    vault.client.meta.events.unregister("before-send.secrets-manager.GetSecretValue", unreachable)
    vault.stub.activate()
    vault.answers(default=DEFAULT)
    vault.now += RETRY_SECONDS
    assert not vault.store.get("default").stale


def test_last_good_value_serves_through_a_long_outage(vault: Vault) -> None:
    vault.answers(default=DEFAULT, fleet=FLEET)
    vault.store.get("default")
    for _ in range(20):
        vault.now += 3600
        vault.fails(*THROTTLED)
        assert vault.store.get("default").stale
        assert vault.store.get("fleet").stale
    assert vault.asked == 21


@pytest.mark.parametrize(("code", "status"), [*AWAY, *OUR_FAULT])
def test_without_a_good_value_the_error_names_secret_and_reason(vault: Vault, code: str, status: int) -> None:
    # Given a Secrets Manager that has never answered
    vault.fails(code, status)
    for _ in range(10):
        error = vault.error()
        assert code in str(error)
        assert not isinstance(error, UnknownAccountError)
    assert vault.asked == 1

    # Then it is asked again after some seconds, and not before
    vault.now += RETRY_SECONDS - 0.1
    vault.error()
    assert vault.asked == 1
    vault.answers(default=DEFAULT)
    vault.now += 0.1
    assert not vault.store.get("default").stale


@pytest.mark.parametrize(("code", "status"), OUR_FAULT)
def test_fault_of_the_deployment_is_not_hidden_by_yesterdays_value(vault: Vault, code: str, status: int) -> None:
    vault.answers(default=DEFAULT)
    vault.store.get("default")
    vault.now += MAX_AGE
    vault.fails(code, status)
    assert code in str(vault.error())

    # When it is mended, then the credentials are there again
    vault.now += RETRY_SECONDS
    vault.answers(default=DEFAULT)
    assert csss(vault.store.get("default")).secret == "Zebra-1"


def test_secret_that_was_spoiled_and_mended_is_good_again(vault: Vault) -> None:
    vault.answers(default=DEFAULT)
    vault.store.get("default")
    vault.now += MAX_AGE
    vault.stub.add_response("get_secret_value", {"SecretString": "Zebra"}, {"SecretId": NAME})
    assert "JSON" in str(vault.error())

    vault.now += RETRY_SECONDS
    vault.answers(default=ROTATED)
    assert csss(vault.store.get("default")).secret == "Zebra-3"


def test_account_that_cannot_be_looked_up_is_not_called_unknown(vault: Vault) -> None:
    # Given a secret that was fetched, and an account that may have been added since
    vault.answers(default=DEFAULT)
    vault.store.get("default")
    vault.now += RETRY_SECONDS
    vault.fails(*THROTTLED)

    # When the account is asked for while Secrets Manager is unavailable
    error = vault.error("fleet")

    # Then the account may exist: a message for it is tried again, rather than refused
    assert not isinstance(error, UnknownAccountError)
    vault.now += RETRY_SECONDS
    vault.answers(default=DEFAULT, fleet=FLEET)
    assert csss(vault.store.get("fleet")).secret == "Zebra-2"


def test_refused_credentials_stay_in_use_while_secrets_manager_is_away(vault: Vault) -> None:
    vault.answers(default=DEFAULT)
    refused = vault.store.get("default")
    vault.fails(*THROTTLED)

    refreshed = vault.store.refresh("default", refused)
    assert refreshed == refused
    assert refreshed.stale
    assert vault.asked == 2


def test_refused_credentials_do_not_press_a_secrets_manager_that_is_away(vault: Vault) -> None:
    # Given credentials that Cube refuses, and a Secrets Manager that is unavailable
    vault.answers(default=DEFAULT)
    refused = vault.store.get("default")
    vault.fails(*THROTTLED)
    refused = vault.store.refresh("default", refused)

    # When one message after the other is refused, then it is not asked again for each of them
    for _ in range(10):
        refused = vault.store.refresh("default", refused)
        assert refused.stale
    assert vault.asked == 2

    # But it is asked some seconds later
    vault.now += RETRY_SECONDS
    vault.answers(default=ROTATED)
    assert csss(vault.store.refresh("default", refused)).secret == "Zebra-3"
