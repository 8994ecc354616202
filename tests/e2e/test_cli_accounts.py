"""`cube-sms account` on a secret alone: what it stores, what it refuses, and that it shows no credential."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import pexpect
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from local.ministack import MiniStack
from tests.e2e.aws_proxy import INTERNAL_ERROR, AwsProxy, Rule, first
from tests.e2e.command import COMMAND, PATIENCE, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.processes import Ended

CODE, SECRET = "P002276", "a-secret-of-a-test"
NEW_CODE, NEW_SECRET = "P002277", "another-secret-of-a-test"
ENTRY = {"access_code": CODE, "secret": SECRET}
NEW = {"access_code": NEW_CODE, "secret": NEW_SECRET}


class Vault(NamedTuple):
    """A stack that has a secret and nothing else."""

    aws: MiniStack
    stack: str
    secret: str

    @property
    def environment(self) -> dict[str, str]:
        # Wide enough that no sentence about wrong use is folded.
        return {**os.environ, **self.aws.environment, "CUBE_SMS_STACK": self.stack, "TERMINAL_WIDTH": "200"}

    def store(self, value: str) -> None:
        """Write the secret by hand."""
        self.aws.client("secretsmanager").put_secret_value(SecretId=self.secret, SecretString=value)

    def value(self) -> Any:
        """Read the secret as the functions do."""
        answer = self.aws.client("secretsmanager").get_secret_value(SecretId=self.secret)
        return json.loads(answer["SecretString"])

    def labels(self) -> set[str]:
        """Return the staging labels of the command's own."""
        described = self.aws.client("secretsmanager").describe_secret(SecretId=self.secret)
        labels = {label for each in described["VersionIdsToStages"].values() for label in each}
        return labels - {"AWSCURRENT", "AWSPREVIOUS"}

    def account(self, *arguments: str, given: object = None, **members: str) -> Ended:
        """Run the command, with this as JSON on standard input. Nothing that it writes holds a credential."""
        text = None if given is None else json.dumps(given)
        ended = run({**self.environment, **members}, "account", *arguments, given=text)
        for credential in (CODE, SECRET, NEW_CODE, NEW_SECRET):
            assert credential not in ended.out + ended.err
        return ended


@pytest.fixture(scope="module")
def aws() -> Iterator[MiniStack]:
    with MiniStack() as aws:
        yield aws


@pytest.fixture
def vault(aws: MiniStack) -> Vault:
    name = f"accounts-{uuid4()}"
    template = {
        "Resources": {"Secret": {"Type": "AWS::SecretsManager::Secret"}},
        "Outputs": {"CubeSecretId": {"Value": {"Ref": "Secret"}}},
    }
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    (described,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    return Vault(aws, name, described["Outputs"][0]["OutputValue"])


def in_terminal(vault: Vault, *arguments: str) -> pexpect.spawn[str]:
    """Start the command in a terminal of its own."""
    command = ["account", *arguments]
    return pexpect.spawn(str(COMMAND), command, env=vault.environment, encoding="utf-8", timeout=PATIENCE)


def exit_status(seen: pexpect.spawn[str]) -> int | None:
    """Wait for the end of a command."""
    seen.expect(pexpect.EOF)
    return seen.wait()


def test_accounts_are_added_one_after_the_other(vault: Vault) -> None:
    # Given a secret without a value
    # When accounts are stored
    added = [vault.account("add", name, "--json", given=ENTRY) for name in ("default", "fleet")]

    # Then both are there, and the answer tells lengths alone
    assert [each.status for each in added] == [0, 0], added[0].err
    assert added[1].json["lengths"] == {"access_code": len(CODE), "secret": len(SECRET)}
    assert vault.value() == {"default": ENTRY, "fleet": ENTRY}
    listed = vault.account("list", "--json").json
    assert [(each["account"], each["keepsPrevious"]) for each in listed] == [("default", False), ("fleet", False)]
    assert vault.account("check").status == 0
    assert vault.labels() == set()


def test_account_that_is_there_is_not_written_over(vault: Vault) -> None:
    vault.store(json.dumps({"fleet": ENTRY}))
    told = vault.account("add", "fleet", given=NEW)
    assert told.status == 1
    assert told.err.startswith("cube-sms: There is an account fleet already.")
    assert vault.value() == {"fleet": ENTRY}


REFUSED = {
    "space at the end": ({**ENTRY, "secret": f"{SECRET} "}, "secret must not begin or end with white space"),
    "line feed": ({**ENTRY, "secret": f"{SECRET}\n"}, "secret must not begin or end with white space"),
    "invisible character": ({**ENTRY, "access_code": f"P0022\u200b{CODE}"}, "access_code must be printable"),
    "nothing": ({**ENTRY, "secret": ""}, "secret must be a string"),
    "a number": ({**ENTRY, "secret": 7}, "secret must be a string"),
    "other fields": ({"user": CODE}, "and has none of these"),
    "fields of both": ({**ENTRY, "key_id": "k"}, "not fields of both"),
    "no key": ({"key_id": "k", "private_key": SECRET}, "private_key must be an RSA key in PEM form"),
    "no object": ([CODE, SECRET], "standard input holds no JSON object"),
}


@pytest.mark.parametrize(("entry", "fault"), REFUSED.values(), ids=REFUSED)
def test_what_the_functions_would_refuse_is_not_stored(vault: Vault, entry: object, fault: str) -> None:
    vault.store(json.dumps({"default": ENTRY}))
    told = vault.account("add", "fleet", given=entry)
    assert (told.status, told.out) == (1, "")
    assert fault in told.err
    assert vault.value() == {"default": ENTRY}


@pytest.mark.parametrize("name", ["Fleet", "a b", "x" * 33, "#gate"])
def test_name_that_no_message_can_have_is_wrong_use(vault: Vault, name: str) -> None:
    told = vault.account("add", name, given=ENTRY)
    assert (told.status, told.out) == (2, "")
    assert "1 to 32 characters" in " ".join(told.err.replace("│", " ").split())


def test_account_with_a_key_is_read_from_its_file(vault: Vault, tmp_path: Path) -> None:
    # Given a key in a file, and one that is none
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    file, other = tmp_path / "key.pem", tmp_path / "other.pem"
    file.write_text(pem, "ascii")
    other.write_bytes(b"\x00\xff")

    # When accounts are stored with them
    added = vault.account("add", "new", "--private-key", str(file), "--json", given={"key_id": "LF123"})
    refused = [
        vault.account("add", "bad", "--private-key", str(path), given={"key_id": "LF123"})
        for path in (other, tmp_path / "none.pem")
    ]

    # Then one is there
    assert added.status == 0, added.err
    assert vault.value() == {"new": {"key_id": "LF123", "private_key": pem}}
    assert [each.status for each in refused] == [1, 1]
    assert all("cannot be read as a key" in each.err for each in refused)
    assert "PRIVATE KEY" not in added.out + vault.account("list").out
    assert vault.account("check").status == 0


def test_faults_of_a_secret_are_told_by_account(vault: Vault) -> None:
    vault.store("\ufeff" + json.dumps({"default": ENTRY, "fleet": {**ENTRY, "secret": f" {SECRET}"}, "text": SECRET}))
    checked = vault.account("check", "--json")
    assert checked.status == 1
    assert {each["account"]: each["fault"] for each in checked.json} == {
        "default": None,
        "fleet": "secret must not begin or end with white space",
        "text": "it must be a JSON object",
    }
    assert vault.account("check", "default").status == 0
    missing = vault.account("check", "nobody")
    assert (missing.status, "it is not in the secret" in missing.out) == (1, True)


def test_secret_without_a_value_has_no_account(vault: Vault) -> None:
    checked = vault.account("check")
    assert checked.status == 1
    assert "The secret holds no account. Store one: cube-sms account add default." in checked.err
    assert vault.account("list", "--json").json == []


@pytest.mark.parametrize("value", ["not JSON", '"text"', "[]"])
def test_secret_that_is_something_else_is_begun_anew_if_that_is_said(vault: Vault, value: str) -> None:
    vault.store(value)
    told = vault.account("add", "default", given=ENTRY)
    assert told.status == 1
    assert "--anew" in told.err

    # When it is begun anew in a pipe, then nobody can be asked
    unasked = vault.account("add", "default", "--anew", given=ENTRY)
    assert unasked.status == 1
    assert "Discard what the secret holds, which is no JSON object of accounts?" in unasked.err
    assert vault.account("add", "default", "--anew", "--yes", given=ENTRY).status == 0
    assert vault.value() == {"default": ENTRY}


def test_accounts_are_discarded_after_a_question_that_names_them(vault: Vault) -> None:
    # Given accounts, of which one keeps what it had before
    stored = {"fleet": ENTRY, "default": ENTRY}
    vault.store(json.dumps(stored))
    vault.account("rotate", "fleet", given=NEW)

    # When the secret is begun anew, and the operator does not mean that
    seen = in_terminal(vault, "add", "third", "--anew")
    seen.expect_exact("Discard default, fleet? [y/N]: ")
    seen.sendline("n")
    assert exit_status(seen) == 1

    # Then they are there
    assert vault.value() == {**stored, "fleet": NEW}

    # When the operator means it
    seen = in_terminal(vault, "add", "third", "--anew")
    seen.expect_exact("Discard default, fleet? [y/N]: ")
    seen.sendline("y")
    for name, value in ENTRY.items():
        seen.expect_exact(f"{name}: ")
        seen.sendline(value)
    assert exit_status(seen) == 0

    # Then the new one alone is there, and nothing of the others is kept
    assert vault.value() == {"third": ENTRY}
    assert vault.labels() == set()


def test_nothing_is_asked_if_there_is_nothing_to_discard(vault: Vault) -> None:
    assert vault.account("add", "default", "--anew", given=ENTRY).status == 0
    assert vault.value() == {"default": ENTRY}


def test_rotation_keeps_what_was_there_until_it_is_put_back(vault: Vault) -> None:
    # Given an account with something of its own beside its credentials, and another one
    entry = {**ENTRY, "callback_token": "t"}
    vault.store(json.dumps({"default": ENTRY, "fleet": entry}))

    # When it gets new credentials, twice, since the first were mistyped
    rotated = [vault.account("rotate", "fleet", "--json", given=each) for each in ({**NEW, "secret": "typo"}, NEW)]

    # Then the last are there, and what was there before the first is kept
    assert [each.status for each in rotated] == [0, 0], rotated[0].err
    assert rotated[0].json["keepsPrevious"] is True
    assert vault.value() == {"default": ENTRY, "fleet": {**NEW, "callback_token": "t"}}
    assert vault.labels() == {"CUBE_SMS_PREVIOUS_fleet"}

    # When another account is stored, and the first goes back
    assert vault.account("add", "third", given=ENTRY).status == 0
    back = vault.account("rotate", "fleet", "--back")

    # Then it has what it had, and the others stay
    assert back.status == 0, back.err
    assert vault.value() == {"default": ENTRY, "fleet": entry, "third": ENTRY}
    assert vault.labels() == set()


def test_rotation_of_nothing_is_a_sentence(vault: Vault) -> None:
    vault.store(json.dumps({"default": ENTRY}))
    nobody = vault.account("rotate", "nobody", given=NEW)
    ended = [vault.account("rotate", "default", option) for option in ("--back", "--finish")]
    both = vault.account("rotate", "default", "--back", "--finish")
    assert (nobody.status, [each.status for each in ended], both.status) == (1, [1, 1], 2)
    assert nobody.err.startswith("cube-sms: There is no account nobody.")
    assert all(each.err.startswith("cube-sms: default has no previous credentials") for each in ended)
    assert vault.value() == {"default": ENTRY}


def test_account_is_removed_after_a_question_and_never_the_last(vault: Vault) -> None:
    vault.store(json.dumps({"default": ENTRY, "fleet": ENTRY}))
    vault.account("rotate", "fleet", given=NEW)

    asked = run(vault.environment, "account", "remove", "fleet", given="n\n")
    assert (asked.status, "Remove fleet?" in asked.err) == (1, True)
    assert vault.account("remove", "fleet", "--yes").status == 0
    assert vault.value() == {"default": ENTRY}
    assert vault.labels() == set()

    last, nobody = vault.account("remove", "default", "--yes"), vault.account("remove", "nobody", "--yes")
    assert (last.status, nobody.status) == (1, 1)
    assert "default is the only account" in last.err
    assert vault.value() == {"default": ENTRY}


def test_what_somebody_else_stores_meanwhile_is_not_lost(vault: Vault) -> None:
    # Given several operators who store accounts at the same moment
    vault.store(json.dumps({"default": ENTRY}))
    ready = threading.Barrier(4)

    def add(number: int) -> Ended:
        ready.wait()
        return vault.account("add", f"fleet-{number}", given=ENTRY)

    # When all of them do
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(add, range(4)))

    # Then each account is there whose operator was not told to run it again
    stored = {f"fleet-{number}" for number, each in enumerate(ended) if each.status == 0}
    assert stored
    assert set(vault.value()) == {"default", *stored}
    told = "cube-sms: Somebody else has stored other credentials meanwhile, and nothing was changed. Run it again.\n"
    assert {each.err for each in ended if each.status} <= {told}
    assert vault.labels() == set()


def test_what_is_stored_between_reading_and_writing_is_not_lost(vault: Vault) -> None:
    # Given somebody who stores another account when the command has stored its version beside the current one
    vault.store(json.dumps({"default": ENTRY}))
    with AwsProxy(vault.aws.url) as proxy:
        meanwhile = Rule("PutSecretValue", lambda _: vault.store(json.dumps({"default": NEW})), is_forwarded=True)

        # When an account is added
        with proxy.applying(meanwhile):
            added = vault.account("add", "fleet", given=ENTRY, AWS_ENDPOINT_URL=proxy.url)

    # Then it is told so, and what the other stored is there
    assert added.status == 1
    assert added.err.startswith("cube-sms: Somebody else has stored other credentials meanwhile, and nothing was ")
    assert vault.value() == {"default": NEW}
    assert vault.labels() == set()


def test_answer_that_is_lost_is_no_fault(vault: Vault) -> None:
    # Given an AWS that makes a version the current one, and whose answer is lost
    vault.store(json.dumps({"default": ENTRY}))
    with AwsProxy(vault.aws.url) as proxy:
        lost = Rule("UpdateSecretVersionStage", first(1, INTERNAL_ERROR), is_forwarded=True)

        # When an account is added
        with proxy.applying(lost):
            added = vault.account("add", "fleet", given=ENTRY, AWS_ENDPOINT_URL=proxy.url)
            assert proxy.failures["UpdateSecretVersionStage"] == 1

    # Then it is there
    assert added.status == 0, added.err
    assert vault.value() == {"default": ENTRY, "fleet": ENTRY}


def test_terminal_is_asked_without_an_echo(vault: Vault) -> None:
    seen = in_terminal(vault, "add", "default")
    for name, value in ENTRY.items():
        seen.expect_exact(f"{name}: ")
        seen.sendline(value)
    seen.expect_exact(f"default is stored: access_code {len(CODE)}, secret {len(SECRET)} characters.")
    assert exit_status(seen) == 0
    assert vault.value() == {"default": ENTRY}


def test_traceback_shows_no_credential(vault: Vault) -> None:
    # Given credentials that are refused after they were read
    # When that is told with a traceback
    told = vault.account("add", "default", "--debug", given={**ENTRY, "secret": f"{SECRET} "})

    # Then there is one, and `account` has seen no credential in it
    assert told.status == 1
    assert "Traceback" in told.err
    assert "secret must not begin or end with white space" in told.err


def test_what_aws_refuses_is_a_sentence(vault: Vault) -> None:
    vault.store(json.dumps({"default": ENTRY}))
    vault.aws.client("secretsmanager").delete_secret(SecretId=vault.secret, RecoveryWindowInDays=7)
    told = vault.account("rotate", "default", given=NEW)
    assert (told.status, told.out) == (1, "")
    assert told.err.startswith("cube-sms: AWS refuses GetSecretValue: ")
