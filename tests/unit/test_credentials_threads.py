"""The accounts' credentials when many threads want them at the same time."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import pytest

from cube_sms.provider.credentials import CredentialStore
from tests.support import csss
from tests.unit.test_credentials import DEFAULT, NAME, ROTATED

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from cube_sms.provider import AnyCredentials


class CountingClient:
    """Secrets Manager for threads, which moto is not made for.

    It has a value for each time it is asked; the last one stays.
    """

    def __init__(self, *accounts: dict[str, str]) -> None:
        self._values = [json.dumps({"default": account}) for account in accounts]
        self.asked = 0

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:  # noqa: N803 - boto3's own name
        assert SecretId == NAME
        self.asked += 1
        # A call to AWS takes its time, in which the other threads come along.
        threading.Event().wait(0.05)
        return {"SecretString": self._values[min(self.asked, len(self._values)) - 1]}

    def store(self) -> CredentialStore:
        return CredentialStore(cast("SecretsManagerClient", self), NAME, clock=lambda: 0.0)


def all_at_once(function: Callable[[], AnyCredentials], threads: int = 32) -> list[AnyCredentials]:
    barrier = threading.Barrier(threads, timeout=60)

    def run(_number: int) -> AnyCredentials:
        barrier.wait()
        return function()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


def test_threads_that_need_credentials_together_fetch_them_once() -> None:
    client = CountingClient(DEFAULT)
    store = client.store()
    assert {csss(found).secret for found in all_at_once(lambda: store.get("default"))} == {"Zebra-1"}
    assert client.asked == 1


@pytest.mark.parametrize("later", [ROTATED, DEFAULT], ids=["rotated", "unchanged"])
def test_threads_that_are_refused_together_fetch_them_once(later: dict[str, str]) -> None:
    # Given many messages sent with the same credentials
    client = CountingClient(DEFAULT, later)
    store = client.store()
    refused = store.get("default")

    # When all are refused at the same time
    found = all_at_once(lambda: store.refresh("default", refused))

    # Then one of them asks Secrets Manager, and all have its answer
    assert {csss(credentials).secret for credentials in found} == {later["secret"]}
    assert client.asked == 2
