"""Sending while Secrets Manager takes the question and does not answer."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config

from cube_sms.platform.aws import AWS_CONFIG
from cube_sms.platform.direct_calls import call_directly
from cube_sms.provider.base import CredentialsError
from cube_sms.provider.credentials import PATIENCE, RETRY_SECONDS, CredentialStore
from tests.support import ACCESS_CODE, SECRET, Clock, csss, post, send_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cube_sms.provider.base import CubeAnswer
    from cube_sms.provider.csss.client import CubeClient
    from local.cube_simulator import CubeSimulator

NAME = "cube-sms/credentials"
MAX_AGE = 300.0
ROTATED = "kX8-rotated-secret"
# Longer than any of these tests waits for what has to happen.
LONG = 60.0


class SecretsManager(ThreadingHTTPServer):
    """A Secrets Manager with one secret, which can be made to hang."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.secret = SECRET
        self.status = 200
        self.asked = 0
        self.is_answering = threading.Event()
        self.is_answering.set()
        self.has_hung = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def hang(self) -> None:
        """Answer nothing from now on, until `answer`."""
        self.has_hung.clear()
        self.is_answering.clear()

    def answer(self, status: int = 200) -> None:
        """Answer again, what has been waiting too."""
        self.status = status
        self.is_answering.set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SecretsManager

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        if not self.server.is_answering.is_set():
            self.server.has_hung.set()
            self.server.is_answering.wait(LONG)
        accounts = {"default": {"access_code": ACCESS_CODE, "secret": self.server.secret}}
        body = json.dumps({"Name": NAME, "SecretString": json.dumps(accounts)}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def secrets_manager() -> Iterator[SecretsManager]:
    server = SecretsManager()
    yield server
    server.answer()
    server.shutdown()
    server.server_close()


# It gives up no question that is answered within a test.
CONFIG = AWS_CONFIG.merge(Config(read_timeout=LONG, retries={"total_max_attempts": 1}))


@pytest.fixture(params=["boto3", "direct"])
def store(request: pytest.FixtureRequest, secrets_manager: SecretsManager, clock: Clock) -> CredentialStore:
    session = boto3.Session("test", "test", region_name="eu-central-1")
    client = session.client("secretsmanager", endpoint_url=secrets_manager.url, config=CONFIG)
    if request.param == "direct":
        call_directly(client, session.get_credentials(), {"GetSecretValue"}, {})
    return CredentialStore(client, NAME, max_age=MAX_AGE, clock=clock)


@pytest.mark.parametrize("threads", [1, 8])
def test_messages_are_sent_with_the_credentials_that_are_held(
    cube: CubeSimulator,
    connect: Callable[..., CubeClient],
    secrets_manager: SecretsManager,
    store: CredentialStore,
    clock: Clock,
    threads: int,
) -> None:
    client = connect(f"{cube.url}/cube/v4", size=threads)

    def send(number: int) -> CubeAnswer:
        return post(client, send_request(requestId=f"order-{number}"), credentials=store.get("default"))

    # Given credentials that are too old, and a Secrets Manager that hangs
    send(0)
    clock.now += MAX_AGE
    secrets_manager.hang()
    # When messages are sent meanwhile
    with ThreadPoolExecutor(threads) as pool:
        sent = [pool.submit(send, number) for number in range(1, 49)]
        done, _ = wait(sent, timeout=LONG / 2)
        is_hanging = not secrets_manager.is_answering.is_set()
        secrets_manager.answer()
    # Then all of them went out before it answered, and it was asked once
    assert is_hanging
    assert (len(done), cube.stats()["accepted"]) == (48, 49)
    assert secrets_manager.asked == 2


def test_old_credentials_are_stale_until_it_answers(
    secrets_manager: SecretsManager, store: CredentialStore, clock: Clock
) -> None:
    assert not store.get("default").stale
    clock.now += MAX_AGE
    secrets_manager.hang()
    secrets_manager.secret = ROTATED
    held = store.get("default")
    assert (csss(held).secret, held.stale) == (SECRET, True)
    # When it answers, and a message is refused with the old ones
    secrets_manager.answer()
    # Then the message waits for the answer, and does not ask again
    fresh = store.refresh("default", held)
    assert (csss(fresh).secret, fresh.stale) == (ROTATED, False)
    assert secrets_manager.asked == 2


def test_first_message_waits_for_the_answer(secrets_manager: SecretsManager, store: CredentialStore) -> None:
    secrets_manager.hang()
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(store.get, "default") for _ in range(4)]
        assert secrets_manager.has_hung.wait(LONG)
        # More than a message waits that has credentials
        assert not wait(found, timeout=2 * PATIENCE).done
        secrets_manager.answer()
        assert {csss(each.result()).secret for each in found} == {SECRET}
    assert secrets_manager.asked == 1


def test_account_that_may_be_there_is_not_called_unknown(
    secrets_manager: SecretsManager, store: CredentialStore, clock: Clock
) -> None:
    store.get("default")
    clock.now += RETRY_SECONDS
    secrets_manager.hang()
    with pytest.raises(CredentialsError) as caught:
        store.get("fleet")
    assert type(caught.value) is CredentialsError
    # And the others go on, with credentials that are young enough
    assert not store.get("default").stale


def test_it_is_asked_again_some_seconds_after_the_last_question_ended(
    secrets_manager: SecretsManager, store: CredentialStore, clock: Clock
) -> None:
    # Given a question that fails after longer than the pause between two
    held = store.get("default")
    clock.now += MAX_AGE
    secrets_manager.hang()
    with ThreadPoolExecutor(1) as pool:
        refreshed = pool.submit(store.refresh, "default", held)
        assert secrets_manager.has_hung.wait(LONG)
        clock.now += 2 * RETRY_SECONDS
        secrets_manager.answer(status=500)
        assert refreshed.result().stale
    # When messages come within the pause
    clock.now += RETRY_SECONDS - 0.1
    for _ in range(3):
        assert store.get("default").stale
    # Then none of them asks
    assert secrets_manager.asked == 2
    secrets_manager.answer()
    clock.now += 0.1
    assert not store.refresh("default", held).stale
    assert secrets_manager.asked == 3
