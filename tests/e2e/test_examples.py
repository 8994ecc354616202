"""The examples, run as their users run them: the local AWS verifies each signature and each permission."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from local.child import free_ports
from local.deploy import deploy
from local.logs import Log
from local.ministack import REGION
from local.stack import wait_until
from local.workflows import Execution
from tests.e2e.test_permissions import for_all_resources
from tests.e2e.test_send import a_device
from tests.e2e.test_workflows import accepted, an_id, ended
from tests.e2e.users import may_call, may_enqueue, user
from tests.programs import EXAMPLES, LANGUAGES, TOOLS, Programs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from botocore.credentials import Credentials

    from local.stack import LocalStack

PASSWORD = "changeit"

# Far above what any of them takes on a busy machine
PATIENCE = 180

# With what JSON, a command line and a signature could spoil
TEXT = 'Tür "3" zu?\n温度 \\ 🌡️'


@pytest.fixture(scope="module")
def stack(guarded_stack: LocalStack) -> LocalStack:
    return guarded_stack


@pytest.fixture(scope="module", params=LANGUAGES)
def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return LANGUAGES[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def trust_store(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the local AWS's certificate as Java takes it."""
    assert stack.aws.ca_file
    certificate = x509.load_pem_x509_certificate(Path(stack.aws.ca_file).read_bytes())
    path = tmp_path_factory.mktemp("trust") / "store.p12"
    entry = pkcs12.PKCS12Certificate(certificate, b"local")
    path.write_bytes(pkcs12.serialize_java_truststore([entry], BestAvailableEncryption(PASSWORD.encode())))
    return path


@pytest.fixture(scope="module")
def sender(stack: LocalStack) -> Iterator[Credentials]:
    """Return a user with the permissions that examples/README.md names."""
    with user(stack, may_enqueue(stack), may_call(stack, "POST/messages")) as credentials:
        yield credentials


@pytest.fixture(scope="module")
def stranger(stack: LocalStack) -> Iterator[Credentials]:
    """Return a user who may do something else."""
    with user(stack, may_call(stack, "GET/messages/*")) as credentials:
        yield credentials


@pytest.fixture
def environment(stack: LocalStack, trust_store: Path) -> dict[str, str]:
    """Return where the stack is, for the SDKs and for the programs without one, and whom to trust."""
    ca_file = stack.aws.ca_file or ""
    trust = {"trustStore": trust_store, "trustStorePassword": PASSWORD, "trustStoreType": "PKCS12"}
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "LC_ALL": "C.UTF-8",
        "AWS_ENDPOINT_URL": stack.aws.url,
        "AWS_REGION": REGION,
        "QUEUE_URL": stack.outputs["SendQueueUrl"],
        "API_URL": stack.api_url,
        "AWS_CA_BUNDLE": ca_file,
        "SSL_CERT_FILE": ca_file,
        "NODE_EXTRA_CA_CERTS": ca_file,
        "JAVA_TOOL_OPTIONS": " ".join(f"-Djavax.net.ssl.{name}={value}" for name, value in trust.items()),
    }


def run(
    command: Sequence[str | Path], environment: Mapping[str, str], credentials: Credentials, *arguments: str
) -> subprocess.CompletedProcess[str]:
    keys = {"AWS_ACCESS_KEY_ID": credentials.access_key, "AWS_SECRET_ACCESS_KEY": credentials.secret_key}
    return subprocess.run(
        [*command, *arguments],
        env={**environment, **keys},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


# ── Programs that send ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_request_is_put_onto_the_queue(
    stack: LocalStack, programs: Programs, environment: dict[str, str], sender: Credentials
) -> None:
    device, request_id = a_device(), an_id()

    # When the same request is put there twice
    puts = [run(programs.queue, environment, sender, request_id, device, TEXT) for _ in range(2)]

    # Then the program says so, and the message is sent once
    for put in puts:
        assert put.returncode == 0, put.stderr
        assert put.stdout.startswith(f"{request_id} is on the queue")
    wait_until("the message", lambda: accepted(stack, device))
    wait_until("the second one to be suppressed", lambda: is_suppressed(stack, request_id))
    assert accepted(stack, device) == [TEXT]


def is_suppressed(stack: LocalStack, request_id: str) -> bool:
    return any(
        entry["message"] == "duplicate suppressed" and entry["request_id"] == request_id for entry in stack.outcomes()
    )


def test_a_message_is_sent_through_the_api(
    stack: LocalStack, programs: Programs, environment: dict[str, str], sender: Credentials
) -> None:
    device, request_id = a_device(), an_id()

    called = run(programs.api, environment, sender, request_id, device, TEXT)

    assert called.returncode == 0, called.stderr
    assert called.stdout.startswith(request_id)
    assert "SENT" in called.stdout
    assert accepted(stack, device) == [TEXT]


def test_a_fault_of_a_request_is_shown(programs: Programs, environment: dict[str, str], sender: Credentials) -> None:
    called = run(programs.api, environment, sender, request_id := an_id(), "not-an-iccid", TEXT)

    assert called.returncode == 1
    assert called.stdout == ""
    assert f"{request_id}: 400" in called.stderr
    assert "deviceId: must be" in called.stderr


def test_a_call_without_an_answer_is_to_be_repeated(
    programs: Programs, environment: dict[str, str], sender: Credentials
) -> None:
    # Given an address where nothing listens
    (port,) = free_ports(1)
    environment["API_URL"] = f"http://127.0.0.1:{port}/v1"

    called = run(programs.api, environment, sender, request_id := an_id(), a_device(), TEXT)

    assert called.returncode == 1
    assert f"{request_id}: repeat the call with the same requestId" in called.stderr


def test_a_caller_without_permission_learns_so(
    stack: LocalStack, programs: Programs, environment: dict[str, str], stranger: Credentials
) -> None:
    device, request_id = a_device(), an_id()

    put, called = (
        run(program, environment, stranger, request_id, device, TEXT) for program in (programs.queue, programs.api)
    )

    assert (put.returncode, called.returncode) == (1, 1)
    assert "AccessDenied" in put.stderr
    assert f"{request_id}: 403" in called.stderr
    assert accepted(stack, device) == []


def test_go_is_formatted() -> None:
    gofmt = TOOLS.parent / "lib" / "python3.13" / "site-packages" / "go" / "bin" / "gofmt"
    listed = subprocess.run([gofmt, "-l", EXAMPLES / "go"], capture_output=True, text=True, check=True)
    assert listed.stdout == ""


# ── Templates ───────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def deployed(stack: LocalStack, example: str, **parameters: str) -> Iterator[dict[str, str]]:
    """Return the outputs of an example's stack, which is there as long as this context."""
    name = f"example-{example}"
    yield deploy(stack.aws, name, parameters, build=EXAMPLES / example)
    stack.aws.client("cloudformation").delete_stack(StackName=name)


def test_a_function_gets_the_event_of_a_message_that_was_not_sent(stack: LocalStack) -> None:
    # Given the consumer, a device that Cube rejects, and another one
    good, bad, sent, rejected = a_device(), a_device(), an_id(), an_id()
    stack.cube.configure(device_faults={bad: "rejected:4711"})
    with deployed(stack, "sam", EventBusName=stack.outputs["EventBusName"]) as outputs:
        log = Log(stack.aws.client("logs"), outputs["LogGroup"])

        # When a message is sent to each
        for device, request_id in ((good, sent), (bad, rejected)):
            stack.enqueue(json.dumps({"deviceId": device, "content": TEXT, "requestId": request_id}))

        # Then it prints a line about the one that was rejected
        def printed() -> list[dict[str, Any]]:
            return [entry for entry in log.entries() if entry.get("requestId") == rejected]

        (line,) = wait_until("the event", printed)
        assert (line["event"], line["state"], line["code"]) == ("SMS Rejected", "REJECTED", "4711")
        wait_until("the other one", lambda: accepted(stack, good))
        assert [entry for entry in log.entries() if entry.get("requestId") == sent] == []


def test_what_is_published_to_the_topic_is_sent(stack: LocalStack) -> None:
    device = a_device()
    with deployed(stack, "sns", SendQueueArn=stack.outputs["SendQueueArn"]) as outputs:
        request = {"deviceId": device, "content": TEXT, "requestId": an_id()}

        stack.aws.client("sns").publish(TopicArn=outputs["TopicArn"], Message=json.dumps(request))

        wait_until("the message", lambda: accepted(stack, device))
    assert accepted(stack, device) == [TEXT]


def test_what_another_topic_publishes_stays_with_it(stack: LocalStack) -> None:
    # Given a topic that SendQueueSourceArns does not name
    parameters = {"SendQueueArn": stack.outputs["SendQueueArn"], "TopicName": f"other-{uuid4()}"}
    device = a_device()
    with deployed(stack, "sns", **parameters) as outputs:
        request = {"deviceId": device, "content": TEXT, "requestId": an_id()}

        stack.aws.client("sns").publish(TopicArn=outputs["TopicArn"], Message=json.dumps(request))

        # Then the queue's policy refuses what it publishes; a later message of another sender is sent
        stack.enqueue(json.dumps({"deviceId": (other := a_device()), "content": TEXT}))
        wait_until("the other message", lambda: accepted(stack, other))
    assert accepted(stack, device) == []


def test_a_workflow_waits_for_the_outcome(stack: LocalStack) -> None:
    device = a_device()
    parameters = {name: stack.outputs[name] for name in ("SendQueueUrl", "SendQueueArn")}
    with (
        for_all_resources(stack, "PublishOutcomesRole", "AnswerTasks"),
        deployed(stack, "step-functions", **parameters) as outputs,
    ):
        execution = Execution.start(stack, outputs["SendAndWaitArn"], {"deviceId": device, "content": TEXT})

        result = ended(execution)

    assert (result["status"], result["output"]["state"]) == ("SUCCEEDED", "SENT")
    assert accepted(stack, device) == [TEXT]
