"""`cube-sms probe` against providers that want to be signed in different ways."""

from __future__ import annotations

import base64
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from local.stack import ACCESS_CODE, SECRET, V4_ACCOUNT
from tests.e2e.command import cube_sms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import LocalStack
    from tests.processes import Ended

# Its check digit is wrong.
DEVICE = "89314404000939952299"

AS_PUBLISHED: dict[str, Any] = {
    "timestampUnit": "s",
    "keyOrder": "sorted",
    "escapeSlashes": False,
    "escapeNonAscii": False,
    "envelopeOnly": False,
    "signedSpaces": "keep",
    "unknownDevices": [DEVICE],
    "faults": {},
}
NO_SETTING = "cube-sms has no setting for it. Open an issue with this table."


@pytest.fixture(autouse=True)
def _cube(stack: LocalStack) -> Iterator[None]:
    stack.cube.configure(**AS_PUBLISHED)
    yield
    stack.cube.configure(**AS_PUBLISHED)


def probe(stack: LocalStack, *arguments: str, account: str = "default", device: str = DEVICE) -> Ended:
    """Run the command, and see that it shows no credentials."""
    told = cube_sms(stack, "probe", account, "--device", device, *arguments)
    secret = stack.aws.client("secretsmanager").get_secret_value(SecretId=stack.outputs["CubeSecretId"])
    for value in (SECRET, json.loads(secret["SecretString"])[V4_ACCOUNT]["private_key"]):
        assert value not in told.out + told.err
    return told


def verdicts(told: Ended) -> dict[str, str]:
    return {each["form"]: each["verdict"] for each in told.json["forms"]}


def test_form_that_the_stack_signs_in_passes(stack: LocalStack) -> None:
    # Given a provider as its pages have it
    before = len(stack.cube.requests(DEVICE))

    # When it is asked
    told = probe(stack, "--json")

    # Then the forms of the stack pass, and the others are refused for what they are
    assert (told.status, told.json["fits"]) == (0, True)
    assert verdicts(told) == {
        "s-wrong-secret": "wrong on purpose",
        "s-old": "wrong on purpose",
        "s": "passes",
        "s-page-order": "signature refused",
        "ms-wrong-secret": "wrong on purpose",
        "ms-old": "wrong on purpose",
        "ms": "refused",
        "ms-page-order": "refused",
        "slash": "passes",
        "slash-escaped": "signature refused",
        "non-ascii": "passes",
        "non-ascii-escaped": "signature refused",
    }
    assert told.json["settings"] == {"CubeTimestampUnit": "s"}
    assert told.json["conclusions"] == ["CubeTimestampUnit=s is right, and the stack has it."]
    # And each was one request to the one device, of which none was accepted
    requests = stack.cube.requests(DEVICE)[before:]
    assert len(requests) == len(told.json["forms"])
    assert not any(each["accepted"] for each in requests)


def test_people_see_a_table_and_what_to_do(stack: LocalStack) -> None:
    told = probe(stack)

    assert told.status == 0
    assert "9404  unknown device" in told.out
    assert told.out.splitlines()[-1] == "CubeTimestampUnit=s is right, and the stack has it."
    assert "counts for the limits of this machine's address" in told.err


@pytest.mark.parametrize("is_envelope_only", [False, True], ids=["statuses", "codes alone"])
@pytest.mark.parametrize(
    ("wanted", "settings", "sentence"),
    [
        (
            {"timestampUnit": "ms"},
            {"CubeTimestampUnit": "ms"},
            "Deploy with CubeTimestampUnit=ms: the stack has s, which Cube refuses.",
        ),
        (
            {"keyOrder": "page"},
            {"CubeTimestampUnit": "s"},
            f"Cube wants: timestamp in seconds, keys in the page's order. {NO_SETTING}",
        ),
        ({"escapeSlashes": True}, {"CubeTimestampUnit": "s"}, rf"Cube wants: / as \/. {NO_SETTING}"),
        (
            {"escapeNonAscii": True},
            {"CubeTimestampUnit": "s"},
            rf"Cube wants: é and 中 as \u00e9 and \u4e2d. {NO_SETTING}",
        ),
    ],
)
def test_form_that_the_stack_does_not_sign_in_is_told(
    stack: LocalStack, wanted: dict[str, Any], settings: dict[str, str], sentence: str, *, is_envelope_only: bool
) -> None:
    # Given a provider that wants it otherwise
    stack.cube.configure(**wanted, envelopeOnly=is_envelope_only)

    # When it is asked
    told = probe(stack, "--json")

    # Then the form is found, with what to do
    assert (told.status, told.json["fits"]) == (1, False)
    assert told.json["settings"] == settings
    assert sentence in told.json["conclusions"]


def test_every_answer_the_same_tells_nothing(stack: LocalStack) -> None:
    # Given a provider that does not let this address in
    stack.cube.configure(faults={"status:403": 1.0})

    told = probe(stack, "--json")

    assert told.status == 1
    (sentence,) = told.json["conclusions"]
    assert sentence.startswith("No conclusion is possible: Cube refuses every form as it refuses a wrong signature (")
    assert "(HTTP 403, code " in sentence
    assert "ask the provider whether this machine's address is allowed" in sentence
    assert told.json["settings"] == {}


def test_wrong_secret_is_not_taken_for_a_form(stack: LocalStack) -> None:
    # Given an account whose secret is not the one that the provider has
    secrets, name = stack.aws.client("secretsmanager"), stack.outputs["CubeSecretId"]
    before = json.loads(secrets.get_secret_value(SecretId=name)["SecretString"])
    stack.put_credentials({**before, "stranger": {"access_code": ACCESS_CODE, "secret": "of-yesterday"}})

    told = probe(stack, "--json", account="stranger")
    stack.put_credentials(before)

    assert told.status == 1
    assert "The account's secret may be wrong" in told.json["conclusions"][0]
    assert "of-yesterday" not in told.out + told.err


def test_device_that_exists_gets_no_second_message(stack: LocalStack) -> None:
    # Given a device that the provider knows
    device = "89314404000939952291"

    told = probe(stack, "--json", device=device)

    # Then the probe ends with the first message that is accepted, and says so
    assert told.status == 1
    assert sum(each["accepted"] for each in stack.cube.requests(device)) == 1
    assert list(verdicts(told).items())[-1] == ("s", "accepted")
    assert told.json["conclusions"][0].startswith("Cube accepted the message of s: the form passes, and the device may")


def test_provider_that_wants_fewer_requests_is_left_alone(stack: LocalStack) -> None:
    stack.cube.configure(faults={"status:429": 1.0})
    before = len(stack.cube.requests(DEVICE))

    told = probe(stack)

    assert (told.status, told.out) == (1, "")
    assert told.err.splitlines()[-1].startswith("cube-sms: Cube wants fewer requests (HTTP 429)")
    assert len(stack.cube.requests(DEVICE)) == before + 1


def test_account_that_is_not_there_is_a_sentence(stack: LocalStack) -> None:
    told = probe(stack, account="nobody")

    assert (told.status, told.out) == (1, "")
    assert told.err.endswith("has no account 'nobody'.\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "if the device exists, it gets messages"),
        (["--device", "89314404000939952215"], "A SIM could have this number"),
        (["--device", "8931-4404"], "1 to 64 characters of 0-9, A-Z and a-z"),
    ],
)
def test_device_that_could_exist_is_wrong_use(stack: LocalStack, arguments: list[str], words: str) -> None:
    told = cube_sms(stack, "probe", "default", *arguments, COLUMNS="200", TERMINAL_WIDTH="200")

    assert (told.status, told.out) == (2, "")
    assert words in told.err


def test_explained_form_is_what_is_signed_and_nothing_is_sent(stack: LocalStack) -> None:
    before = len(stack.cube.requests(DEVICE))

    told = probe(stack, "--explain", "slash-escaped", "--json")

    assert told.status == 0
    text = told.json["text"]
    assert r"cube-sms 1\/2" in text
    assert json.loads(text)["access_code"] == ACCESS_CODE
    digest = hmac.digest(SECRET.encode(), text.encode(), "sha1")
    assert told.json["signature"] == base64.b64encode(digest).decode()
    assert len(stack.cube.requests(DEVICE)) == before
    # And people see the same
    shown = probe(stack, "--explain", "s").out
    assert "Text to sign: {" in shown
    assert "Signature:" in shown


def test_form_that_is_none_is_a_sentence_with_those_there_are(stack: LocalStack) -> None:
    told = probe(stack, "--explain", "minutes")

    assert (told.status, told.out) == (1, "")
    assert "There is no form minutes. There are s-wrong-secret, s-old, s, " in told.err


@pytest.mark.parametrize(
    ("wanted", "status", "sentence"),
    [
        ("keep", 0, "CubeV4SignedSpaces=keep is right, and the stack has it."),
        ("remove", 1, "Deploy with CubeV4SignedSpaces=remove: the stack has keep, which Cube refuses."),
    ],
)
def test_account_that_speaks_v4_is_asked_about_spaces(
    stack: LocalStack, wanted: str, status: int, sentence: str
) -> None:
    # Given a provider that keeps spaces in what is signed, or removes them
    stack.cube.configure(signedSpaces=wanted)

    # When it is asked, and for a form that it is told
    told = probe(stack, "--json", account=V4_ACCOUNT)

    # Then that is found
    assert (told.status, told.json["dialect"]) == (status, "v4")
    assert told.json["conclusions"] == [sentence]
    assert told.json["settings"] == {"CubeV4SignedSpaces": wanted}
    assert verdicts(told)["no-spaces"] == "passes"


def test_explained_form_of_v4_is_what_is_signed(stack: LocalStack) -> None:
    told = probe(stack, "--explain", "spaces-removed", "--json", account=V4_ACCOUNT)

    assert told.status == 0
    assert '"content":"cube-smsprobewithspaces"' in told.json["text"]
    secret = stack.aws.client("secretsmanager").get_secret_value(SecretId=stack.outputs["CubeSecretId"])
    pem = json.loads(secret["SecretString"])[V4_ACCOUNT]["private_key"]
    public: Any = load_pem_private_key(pem.encode(), None).public_key()
    # Then this raises nothing
    public.verify(base64.b64decode(told.json["signature"]), told.json["text"].encode(), PKCS1v15(), hashes.SHA1())
