"""The handler of callbacks, with events of API Gateway: what is published, kept and refused, and what is logged."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from cube_sms.delivery import Asks, ReplyTaker
from cube_sms.platform import EventBus, Tasks
from cube_sms.provider import CredentialStore
from cube_sms.provider.credentials import RETRY_SECONDS
from cube_sms.replies import Callback, CallbackReceiver
from cube_sms.replies.receiver import MAX_BODY
from cube_sms.replies.refusals import Refusal
from functions.receive_callback import app
from local.cube_simulator.callbacks import signed
from scripts.schemas import reply_event_schema
from tests.integration.called_back import (
    ACCOUNTS,
    BUS,
    DEVICE,
    KEY,
    KEY_ID,
    OLDER,
    SIGNED_TOKEN,
    TEXT,
    TOKEN,
    UNKNOWN,
    V4,
    Callbacks,
)
from tests.integration.deployment import SECRET_ID, TABLE
from tests.support import Clock, Context, load_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support import Printed


# What no log line, metric or answer may show.
HIDDEN = (TEXT, "Kx4711q", "请勿", DEVICE, TOKEN, SIGNED_TOKEN, KEY_ID, KEY, "hush")


def assert_hidden(*shown: object) -> None:
    for text in (json.dumps(shown, default=list), json.dumps(shown, default=list, ensure_ascii=False)):
        assert [hidden for hidden in HIDDEN if hidden in text] == []


def reasons(printed: Printed) -> list[str]:
    return [log["reason"] for log in printed.logs if log["message"] == "callback refused"]


# ── What is taken ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_sample_is_published(callbacks: Callbacks, printed: Callable[[], Printed]) -> None:
    # When the sample comes as API Gateway sends it
    answer = app.handler(load_event("callback-reply"), Context())
    # Then the bus has it before the provider is answered, as the schema has it
    assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"status": "received"})
    assert answer["multiValueHeaders"] == {"Content-Type": ["application/json"]}
    (event,) = callbacks.published()
    schema = reply_event_schema()
    assert [schema["properties"][name]["const"] for name in ("detail-type", "source")] == [
        event["detail-type"],
        event["source"],
    ]
    assert list(Draft202012Validator(schema["$defs"]["Detail"]).iter_errors(event["detail"])) == []
    assert event["detail"]["content"] == "Door closed"
    # And it is reported without its content
    output = printed()
    (log,) = output.logs
    assert (log["message"], log["account"], log["device_id"]) == ("reply published", "default", "****************2253")
    assert log["event_id"] == event["detail"]["eventId"]
    assert output.values("RepliesPublished") == [1]
    assert_hidden(output.logs, output.metrics, answer)


def test_both_kinds_are_published_and_a_repeat_has_the_id_of_the_first(callbacks: Callbacks) -> None:
    # When both accounts are called back, and then once more
    for _ in range(2):
        assert callbacks.call(OLDER)[0] == 200
        assert callbacks.notify(V4)[0] == 200
    # Then each message has one id, whatever the provider signs it with
    events = [event["detail"] for event in callbacks.published()]
    assert [event["account"] for event in events] == ["default", "fleet"] * 2
    assert {(event["deviceId"], event["content"]) for event in events} == {(DEVICE, TEXT)}
    assert len({event["eventId"] for event in events}) == 2
    assert [event["eventId"] for event in events[:2]] == [event["eventId"] for event in events[2:]]


@pytest.mark.parametrize("form", ["text", "bytes"])
def test_callback_that_is_not_understood_is_kept_whole(
    callbacks: Callbacks, printed: Callable[[], Printed], form: str
) -> None:
    # Given forms that are unknown: among them what the provider's page prints, which is no JSON
    printed_by_the_page = json.dumps(OLDER, ensure_ascii=False).replace(', "text', ' "text')
    body = json.dumps(UNKNOWN, ensure_ascii=False) if form == "text" else TEXT.encode("utf-16")
    # When they come under a token, or signed
    assert [callbacks.call(each)[0] for each in (body, printed_by_the_page)] == [200, 200]
    assert callbacks.notify(UNKNOWN)[0] == 200
    # Then nothing is published, and all is on the queue
    assert callbacks.published() == []
    (first, attributes), (second, _), (third, of_third) = callbacks.kept()
    assert attributes == {"account": "default", "encoding": "text" if form == "text" else "base64"}
    assert (first if form == "text" else base64.b64decode(first)) == body
    assert second == printed_by_the_page
    assert (json.loads(third), of_third["account"]) == (UNKNOWN, "fleet")
    output = printed()
    assert output.values("CallbacksNotUnderstood") == [1, 1]
    assert output.values("CallbacksNotUnderstood", "fleet") == [1]
    assert_hidden(output.logs, output.metrics)


@pytest.mark.parametrize("text", ["\ufffe", "\x00", "a\uffffb"])
def test_what_sqs_takes_no_text_of_is_kept_too(callbacks: Callbacks, text: str) -> None:
    assert callbacks.call(text)[0] == 200
    ((body, attributes),) = callbacks.kept()
    assert (base64.b64decode(body).decode(), attributes["encoding"]) == (text, "base64")


# ── The history of a device ─────────────────────────────────────────────────────────────────────────────────────────


def test_history_has_each_reply_once_and_without_what_it_says(
    callbacks: Callbacks, printed: Callable[[], Printed]
) -> None:
    # Given a deployment whose devices have a history
    callbacks.configure(DEVICE_HISTORY="true")
    # When both accounts are called back, and then once more
    for _ in range(2):
        assert callbacks.call(OLDER)[0] == 200
        assert callbacks.notify(V4)[0] == 200
    # Then the history has what was published, except the content
    published = {event["detail"]["eventId"]: event["detail"] for event in callbacks.published()}
    history = callbacks.history()
    assert {entry["eventId"]: entry for entry in history} == {
        event_id: {"kind": "reply", **detail, "content": None} for event_id, detail in published.items()
    }
    assert len(history) == 2
    output = printed()
    assert_hidden(output.logs, output.metrics)


def test_history_has_what_a_reply_says_if_it_is_kept(callbacks: Callbacks) -> None:
    callbacks.configure(DEVICE_HISTORY="true", KEEP_REPLIES="7")
    assert callbacks.call(OLDER)[0] == 200
    (event,) = callbacks.published()
    assert callbacks.history() == [{"kind": "reply", **event["detail"]}]
    assert event["detail"]["content"] == TEXT


@pytest.mark.parametrize("after", [0, 1])
def test_reply_that_the_history_does_not_take_is_published_and_to_be_repeated(
    callbacks: Callbacks, printed: Callable[[], Printed], after: int
) -> None:
    # Given a table that is unavailable before or after the text of the reply is kept
    callbacks.configure(DEVICE_HISTORY="true", KEEP_REPLIES="7")
    callbacks.aws_calls.fail("UpdateItem", after=after)
    # When a callback comes, then the provider is to repeat it, and the bus has it all the same
    assert callbacks.call(OLDER)[0] == 503
    assert printed().values("CallbacksFailed", "all") == [1]
    (first,) = callbacks.published()
    assert callbacks.history() == []
    # And when the table is back, the repeat is kept
    callbacks.aws_calls.recover()
    assert callbacks.call(OLDER)[0] == 200
    assert callbacks.published() == [first]
    assert callbacks.history() == [{"kind": "reply", **first["detail"]}]


def test_reply_that_the_bus_does_not_take_is_in_the_history(callbacks: Callbacks) -> None:
    callbacks.configure(DEVICE_HISTORY="true")
    callbacks.aws_calls.fail("PutEvents")
    assert callbacks.call(OLDER)[0] == 503
    assert len(callbacks.history()) == 1


# ── What is refused ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_refusal_is_answered_counted_and_told_by_its_reason_alone(
    callbacks: Callbacks, printed: Callable[[], Printed]
) -> None:
    # When everything is wrong once
    large = {**OLDER, "padding": "x" * MAX_BODY}
    answers = {
        Refusal.UNKNOWN_TOKEN: callbacks.call(OLDER, TOKEN[:-1] + "2"),
        Refusal.MALFORMED: callbacks.call(b""),
        Refusal.UNSIGNED: callbacks.call(V4, SIGNED_TOKEN),
        Refusal.NO_KEY: callbacks.call(
            V4, TOKEN, **{name.replace("-", "_"): value for name, value in signed(b"{}", KEY_ID, KEY).items()}
        ),
        Refusal.FORGED: callbacks.notify(V4, "forged"),
        Refusal.STALE: callbacks.notify(V4, "stale"),
        Refusal.TOO_LARGE: callbacks.call(large),
    }
    # Then each has its answer, which is a problem
    assert answers.keys() == set(Refusal)
    for refusal, (status, problem) in answers.items():
        assert (status, problem["status"], problem["title"]) == (refusal.answer.status,) * 2 + (refusal.answer.title,)
    assert [status for status, _ in answers.values()] == [404, 400, 401, 401, 401, 401, 413]
    # And nothing is published or kept
    assert (callbacks.published(), callbacks.kept()) == ([], [])
    # And the log has the reasons, and nothing that the caller wrote
    output = printed()
    assert reasons(output) == [refusal.reason for refusal in answers]
    assert len(output.logs) == len(answers)
    assert sum(output.values("CallbacksRefused")) == 3
    assert sum(output.values("CallbacksRefused", "fleet")) == 3
    assert output.values("CallbacksMisaddressed", "unknown") == [1]
    assert "x-lf" not in json.dumps(output)
    assert_hidden(output.logs, output.metrics, [problem for _, problem in answers.values()])


@pytest.mark.parametrize(
    "changed",
    [
        {"x_lf_algo": "HMAC-SHA256"},
        {"x_lf_timestamp": "yesterday"},
        {"x_lf_notification_version": ""},
        {"x_lf_signature": "no-slash"},
    ],
)
def test_signed_notification_with_a_malformed_header_is_told_so(callbacks: Callbacks, changed: dict[str, str]) -> None:
    assert callbacks.notify(V4, **changed)[0] == 400
    assert callbacks.published() == []


def test_largest_callback_is_taken(callbacks: Callbacks) -> None:
    body = json.dumps(OLDER)
    padded = json.dumps({**OLDER, "padding": "x" * (MAX_BODY - len(body) - len(', "padding": ""'))})
    assert len(padded) == MAX_BODY
    assert callbacks.call(padded)[0] == 200
    assert callbacks.call(padded + " ")[0] == 413


@pytest.mark.parametrize("token", ["", "a", "%2e%2e", TOKEN + "0", TOKEN.upper(), "\u00e9" * 40])
def test_no_other_token_is_known(callbacks: Callbacks, token: str) -> None:
    status, problem = callbacks.call(OLDER, token)
    assert (status, problem["detail"]) == (404, "there is no such resource")


# ── When AWS is unavailable ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("operation", "body"), [("PutEvents", OLDER), ("SendMessage", UNKNOWN), ("GetSecretValue", OLDER)]
)
def test_what_cannot_be_published_is_to_be_repeated(
    callbacks: Callbacks, printed: Callable[[], Printed], operation: str, body: dict[str, Any]
) -> None:
    # Given a service that is unavailable
    callbacks.aws_calls.fail(operation)
    # When a callback comes, then the provider has to repeat it
    status, problem = callbacks.call(body)
    assert (status, problem["title"]) == (503, "The gateway is unavailable")
    output = printed()
    assert output.values("CallbacksFailed", "all") == [1]
    assert output.values("RepliesPublished") == []
    assert_hidden(output.logs, output.metrics, problem)
    # And when the service is back, the repeat is taken
    callbacks.aws_calls.recover()
    app.receiver.cache_clear()
    assert callbacks.call(body)[0] == 200
    assert len(callbacks.published()) + len(callbacks.kept()) == 1


# ── Tokens and keys that change ─────────────────────────────────────────────────────────────────────────────────────


def test_former_token_is_taken_while_it_is_there(callbacks: Callbacks) -> None:
    new = "the-token-that-comes-after-the-sample"
    callbacks.put_accounts({"default": {"callback_token": new, "former_callback_token": TOKEN}})
    assert [callbacks.call(OLDER, token)[0] for token in (TOKEN, new)] == [200, 200]
    callbacks.put_accounts({"default": {"callback_token": new}})
    app.receiver.cache_clear()
    assert [callbacks.call(OLDER, token)[0] for token in (TOKEN, new)] == [404, 200]


def test_new_key_is_found_before_the_secret_is_old(callbacks: Callbacks) -> None:
    # Given a function that has fetched the secret, and a key whose value the provider has changed since
    clock = Clock()
    clock.now = time.time()
    store = CredentialStore(callbacks.secrets, SECRET_ID, patience=60.0, clock=clock)
    taker = ReplyTaker(
        Asks(callbacks.dynamodb, TABLE), EventBus(callbacks.events, BUS), Tasks(lambda: boto3.client("stepfunctions"))
    )
    receiver = CallbackReceiver(store, taker, callbacks.sqs, callbacks.unknown, clock=clock)
    body = json.dumps(V4).encode()
    callback = Callback(SIGNED_TOKEN, signed(body, KEY_ID, KEY).get, body)
    callbacks.put_accounts({"fleet": {**ACCOUNTS["fleet"], "callback_key": "another"}})
    assert receiver.receive(callback).refusal is Refusal.FORGED
    callbacks.put_accounts({"fleet": ACCOUNTS["fleet"]})
    # When the provider repeats it at once, then the secret is not asked for again
    assert receiver.receive(callback).refusal is Refusal.FORGED
    # When it does so some seconds later, and not the minutes for which the secret is kept
    clock.now += RETRY_SECONDS
    # Then it is taken
    assert receiver.receive(callback).received


def test_malformed_account_stops_no_other_and_is_told_once(
    callbacks: Callbacks, printed: Callable[[], Printed]
) -> None:
    # Given an account with a short token, and one with a line break behind its key
    fleet = {**ACCOUNTS["fleet"], "callback_key": KEY + "\n"}
    callbacks.put_accounts({**ACCOUNTS, "fleet": fleet, "short": {"callback_token": "hush-hush"}})
    # When callbacks come for all of them
    assert [callbacks.call(OLDER)[0] for _ in range(2)] == [200, 200]
    assert [callbacks.call(OLDER, token)[0] for token in ("hush-hush", SIGNED_TOKEN)] == [404, 404]
    # Then the log names both faults once, and shows no value
    output = printed()
    faults = [log["error"] for log in output.logs if log["message"] == "callbacks cannot be verified"]
    assert faults == [
        f"secret {SECRET_ID}, account 'fleet': callback_key must not begin or end with white space",
        "account 'short': callback_token must be 32 to 128 characters of A-Z, a-z, 0-9, _ and -",
    ]
    assert output.values("CredentialsUnusable", "all") == [2]
    assert_hidden(output.logs, output.metrics)
