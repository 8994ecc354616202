"""What callbacks hold: the forms that are known, and what is reported of a message from a device."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cube_sms.delivery import Received
from cube_sms.provider import Members
from cube_sms.replies.accounts import CallbackAccount, CallbackAccounts
from cube_sms.replies.forms import read_received
from tests.support import DEVICE

RECEIVED = Received("fleet", DEVICE, "Text", "Tür zu 好的", 1_768_212_000_123)
OLDER = {
    "partner_code": "P002276",
    "sim_id": DEVICE,
    "imsi": "460000000000000",
    "message_type": "Text",
    "text_message": "Tür zu 好的",
    "received_at": "1768212000123",
}
V4 = {
    "org_id": "O1",
    "sim_id": DEVICE,
    "msisdn": "8613800000000",
    "received_at": 1768212000123,
    "message": {"type": 1, "content": "Tür zu 好的"},
}
FORMS: dict[str, dict[str, Any]] = {"older": OLDER, "v4": V4}
TOKENS = ["A" * 32, "b-_" * 20, "C" * 128]

times = st.integers(10**12, 4_102_444_799_999)


def read(body: Any) -> Received | None:
    return read_received("fleet", json.dumps(body).encode())


class TestForm:
    @pytest.mark.parametrize("form", FORMS)
    def test_both_tell_the_same(self, form: str) -> None:
        assert read(FORMS[form]) == RECEIVED

    @pytest.mark.parametrize("kind", [{}, {"message_type": None}, {"message_type": ""}])
    def test_text_is_meant_where_no_type_is_given(self, kind: dict[str, Any]) -> None:
        body = {name: value for name, value in OLDER.items() if name != "message_type"} | kind
        assert read(body) == RECEIVED

    def test_binary_is_told_as_such(self) -> None:
        for body in ({**OLDER, "message_type": "Binary"}, {**V4, "message": {"type": 2, "content": "00FF"}}):
            received = read(body)
            assert received
            assert received.message_type == "Binary"

    @pytest.mark.parametrize(
        "changed",
        [
            {"sim_id": None},
            {"sim_id": ""},
            {"sim_id": "8931 4404"},
            {"received_at": None},
            {"received_at": "yesterday"},
            {"received_at": 1768212000},
            {"received_at": 4_102_444_800_000},
            {"received_at": 1.5},
        ],
    )
    @pytest.mark.parametrize("form", FORMS)
    def test_fields_have_limits(self, form: str, changed: dict[str, Any]) -> None:
        assert read({**FORMS[form], **changed}) is None

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"null",
            b"\xff",
            b"[" * 60_000,
            b'{"partner_code": "P1" "sim_id": "1"}',
            json.dumps({**OLDER, "message_type": "Sound"}).encode(),
            json.dumps({**OLDER, "text_message": None}).encode(),
            json.dumps({**V4, "message": {"type": 3, "content": "x"}}).encode(),
            json.dumps({**V4, "message": "x"}).encode(),
            # No text has half a character.
            json.dumps({**OLDER, "text_message": "\ud800"}).encode(),
        ],
    )
    def test_what_is_not_known_is_nothing(self, body: bytes) -> None:
        assert read_received("fleet", body) is None

    @given(body=st.binary(max_size=300))
    def test_no_body_breaks_it(self, body: bytes) -> None:
        assert read_received("fleet", body) is None


class TestEvent:
    def test_tells_what_there_is(self) -> None:
        event = RECEIVED.event("order-1")
        assert (event.detail_type, event.time) == ("SMS Received", "2026-01-12T10:00:00.123Z")
        assert event.detail == {
            "eventId": RECEIVED.event_id,
            "account": "fleet",
            "deviceId": DEVICE,
            "messageType": "Text",
            "content": "Tür zu 好的",
            "receivedAt": "2026-01-12T10:00:00.123Z",
            "inReplyTo": "order-1",
        }

    @given(content=st.text(st.characters(exclude_categories=["Cs"])), received_at=times)
    def test_id_is_that_of_every_repeat_and_of_no_other_message(self, content: str, received_at: int) -> None:
        # Given a message, and the same one in both forms
        one = {**OLDER, "text_message": content, "received_at": str(received_at)}
        other = {**V4, "message": {"type": 1, "content": content}, "received_at": received_at}
        told = [read(body) for body in (one, dict(reversed(one.items())), other)]
        assert all(told)
        # Then it is reported under one id
        (event_id,) = {received.event_id for received in told if received}
        # And another one under another
        others = [
            {**one, "text_message": content + "!"},
            {**one, "received_at": str(received_at - 1 if received_at > 10**12 else received_at + 1)},
            {**one, "sim_id": DEVICE[:-1]},
            {**one, "message_type": "Binary"},
        ]
        ids = {received.event_id for body in others if (received := read(body))}
        assert len(ids - {event_id}) == len(others)
        assert read_received("default", json.dumps(one).encode()) != told[0]

    def test_content_is_in_no_representation(self) -> None:
        assert RECEIVED.content not in repr(RECEIVED)


class TestAccounts:
    def test_tokens_and_keys_are_those_of_the_secret(self) -> None:
        first = {"callback_token": TOKENS[0], "former_callback_token": TOKENS[1]}
        second = {"callback_token": TOKENS[2], "callback_key_id": "id", "callback_key": "key"}
        accounts = CallbackAccounts.of(Members({"default": first, "fleet": second}, ()))
        default, fleet = CallbackAccount("default", None, None), CallbackAccount("fleet", "id", "key")
        assert accounts == CallbackAccounts(((TOKENS[0], default), (TOKENS[1], default), (TOKENS[2], fleet)), ())

    @pytest.mark.parametrize(
        ("members", "fault"),
        [
            ({"callback_key_id": "id", "callback_key": "key"}, "callback_token is missing"),
            ({"callback_token": "A" * 31}, "callback_token must be 32 to 128 characters"),
            ({"callback_token": "A" * 129}, "callback_token must be 32 to 128 characters"),
            ({"callback_token": "A" * 31 + "/"}, "callback_token must be 32 to 128 characters"),
            ({"callback_token": "A" * 32 + "\n"}, "callback_token must be 32 to 128 characters"),
            ({"callback_token": "A" * 32, "former_callback_token": "short"}, "former_callback_token must be 32"),
            ({"callback_token": "A" * 32, "former_callback_token": "A" * 32}, "callback_token is there twice"),
            ({"callback_token": "A" * 32, "callback_key": "key"}, "callback_key_id and callback_key go together"),
            ({"callback_token": "A" * 32, "callback_key_id": "id"}, "callback_key_id and callback_key go together"),
            ({"callback_token": TOKENS[2]}, "callback_token is there twice"),
        ],
    )
    def test_account_that_is_malformed_stops_no_other_and_is_told_without_a_value(
        self, members: dict[str, str], fault: str
    ) -> None:
        sound = {"callback_token": TOKENS[1]}
        twice = {"callback_token": TOKENS[2]} if TOKENS[2] in members.values() else {"callback_token": "D" * 40}
        accounts = CallbackAccounts.of(Members({"fleet": members, "default": sound, "other": twice}, ("earlier",)))
        assert TOKENS[1] in dict(accounts.tokens)
        assert "fleet" not in {account.name for _, account in accounts.tokens}
        earlier, told, *_ = accounts.faults
        assert earlier == "earlier"
        assert told.startswith(f"account 'fleet': {fault}")
        assert not [value for value in members.values() if len(value) > 3 and value in told]
