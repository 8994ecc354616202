"""The client of Cube v4, over a socket: what it sends, what it takes for success, and the error for each failure."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings

from cube_sms.platform import Settings, SettingsError
from cube_sms.provider import Query, make_provider
from cube_sms.provider.base import (
    CubeAuthenticationError,
    CubeError,
    CubeInternalError,
    CubeMessageRejected,
    CubeOutcomeUnknown,
    CubeRecipientRejected,
    CubeRejected,
    CubeThrottled,
    CubeUnavailable,
)
from cube_sms.provider.v4 import CubeV4Client
from cube_sms.provider.v4.answers import MEANINGS
from cube_sms.request import InvalidRequestError
from tests.integration.failures import FAILURES
from tests.integration.test_client import CONTENTS, valid_text
from tests.integration.wire import Wire, answer
from tests.support import CREDENTIALS, DEVICE, send_request
from tests.support import post as post_with
from tests.v4_account import KEY_ID, V4_CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator

    type Connect = Callable[..., CubeV4Client]

JOB = "7c9e6679f7425c40"
SUCCESS = {"data": {"job_id": JOB}, "status": {"code": "CB-00-0000", "message": "Success", "detail": []}}
HUNDRED = [f"8931440400093995{number:04}" for number in range(100)]

post = partial(post_with, credentials=V4_CREDENTIALS)


def said(code: str, message: str = "no") -> dict[str, Any]:
    return {"data": None, "status": {"code": code, "message": message, "detail": []}}


@pytest.fixture
def connect(connect: Connect) -> Connect:
    return partial(connect, kind=CubeV4Client)


def failure(client: CubeV4Client, *devices: str) -> CubeError:
    with pytest.raises(CubeError) as caught:
        post(client, *(send_request(deviceId=device) for device in devices or [DEVICE]))
    return caught.value


class TestRequest:
    def test_is_as_the_provider_documents_it(self, connect: Connect) -> None:
        now = 1_674_197_059.22
        with Wire(answer(SUCCESS)) as wire:
            client = connect(f"{wire.url}/cube/v4/", language="en-US", clock=lambda: now)
            post(client, send_request("温度 é"), send_request("温度 é", deviceId="8932"))
            ((head, body),) = wire.requests
        lines = head.splitlines()
        assert lines[0] == "POST /cube/v4/sms HTTP/1.1"
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        assert headers["Authorization"].startswith(f"LF {KEY_ID}/")
        assert headers["timestamp"] == "1674197059220"
        assert headers["X-LF-Signature-Type"] == "2.0"
        assert headers["Accept-Language"] == "en-US"
        assert headers["Content-Type"] == "application/json"
        assert body.decode() == f'{{"message":{{"content":"温度 é","type":1}},"sim_ids":["{DEVICE}","8932"]}}'

    def test_reaches_a_hundred_sims_with_one_query(self, cube: CubeSimulator, connect: Connect) -> None:
        client = connect(cube.url)
        assert client.most_recipients(V4_CREDENTIALS) == len(HUNDRED)
        # When
        accepted = post(client, *(send_request(deviceId=device) for device in HUNDRED))
        # Then the request log has a message for each, of one job
        stats, entries = cube.stats(), cube.requests()
        assert (stats["received"], stats["accepted"], stats["messages"]) == (1, 1, 100)
        assert [entry["deviceId"] for entry in entries] == HUNDRED
        assert {entry["jobId"] for entry in entries} == {accepted.job_id}
        assert accepted.code == "CB-00-0000"

    @pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
    @pytest.mark.parametrize("spaces", ["keep", "remove"])
    def test_content_arrives_as_it_was_given(
        self, cube: CubeSimulator, connect: Connect, content: str, spaces: str
    ) -> None:
        # Given a provider that signs with spaces, or without
        cube.configure(signed_spaces=spaces)
        post(connect(cube.url, signed_spaces=spaces), send_request(content))
        assert [(entry["contents"], entry["accepted"]) for entry in cube.requests(DEVICE)] == [([content], True)]

    @pytest.mark.parametrize(("ours", "theirs"), [("keep", "remove"), ("remove", "keep")])
    def test_wrong_idea_of_spaces_is_a_bad_signature(
        self, cube: CubeSimulator, connect: Connect, ours: str, theirs: str
    ) -> None:
        cube.configure(signed_spaces=theirs)
        client = connect(cube.url, signed_spaces=ours)
        with pytest.raises(CubeAuthenticationError):
            post(client, send_request("two words"))
        # And it does not show if there is no space
        post(client, send_request("word"))

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(content=valid_text)
    def test_any_valid_content_is_sent_and_accepted(self, cube: CubeSimulator, connect: Connect, content: str) -> None:
        cube.reset()
        post(connect(cube.url), send_request(content))
        assert [entry["contents"] for entry in cube.requests()] == [[content]]

    def test_binary_content_is_told_from_text(self, cube: CubeSimulator, connect: Connect) -> None:
        post(connect(cube.url), send_request("0A1b", messageType="Binary"))
        (entry,) = cube.requests(DEVICE)
        assert (entry["messageType"], entry["contents"], entry["accessCode"]) == ("Binary", ["0A1b"], KEY_ID)

    def test_array_of_one_item_is_its_text(self, cube: CubeSimulator, connect: Connect) -> None:
        # Given the fields that csss knows and does not use
        items = [{"smsType": "x", "smsTemplateContent": "Hello", "smsNum": "1"}]
        post(connect(cube.url), send_request(smsContentList=items))
        assert [entry["contents"] for entry in cube.requests()] == [["Hello"]]

    def test_array_of_several_items_is_refused_with_its_field(self, cube: CubeSimulator, connect: Connect) -> None:
        request = send_request(smsContentList=[{"smsTemplateContent": "One"}, {"smsTemplateContent": "Two"}])
        with pytest.raises(InvalidRequestError, match="smsContentList: must have one item") as caught:
            post(connect(cube.url), request)
        assert caught.value.request_id == "order-1"
        assert cube.stats()["received"] == 0


class TestRepetition:
    def test_is_one_request_for_the_provider(self, cube: CubeSimulator, connect: Connect) -> None:
        # Given a query whose answer was lost
        client = connect(cube.url)
        query: Query[Any] = client.prepare(V4_CREDENTIALS, [send_request(deviceId=device) for device in HUNDRED[:2]])
        cube.configure(next_faults=["lost"])
        with pytest.raises(CubeOutcomeUnknown):
            send(client, query)
        # When it is sent again, in the time for that
        assert client.repeats_within(V4_CREDENTIALS) == 10.0
        repeated = send(client, query)
        # Then it is the same job, and each message counts once
        first, second = cube.requests(HUNDRED[0])
        assert first["jobId"] == second["jobId"] == repeated.job_id
        assert first["nonce"] == second["nonce"]
        assert [first["accepted"], second["accepted"]] == [True, False]
        stats = cube.stats()
        assert (stats["received"], stats["accepted"], stats["repeated"], stats["messages"]) == (2, 1, 1, 2)

    def test_is_dated_and_signed_anew(self, connect: Connect) -> None:
        now = 1_674_197_059.0
        with Wire(answer(SUCCESS)) as wire:
            client = connect(wire.url, clock=lambda: now)
            query = client.prepare(V4_CREDENTIALS, [send_request()])
            send(client, query)
            now += 3
            send(client, query)
            (first, body), (second, repeated) = wire.requests
        assert body == repeated
        changed = {line.split(":")[0] for line in set(first.splitlines()) ^ set(second.splitlines())}
        assert changed == {"Authorization", "timestamp"}

    def test_has_a_nonce_that_no_other_query_has(self, cube: CubeSimulator, connect: Connect) -> None:
        client = connect(cube.url)
        jobs = {post(client, send_request()).job_id for _ in range(20)}
        assert len(jobs) == 20
        assert len({entry["nonce"] for entry in cube.requests()}) == 20


def send(client: CubeV4Client, query: Any) -> Any:
    with client.connection(query.credentials) as connection:
        connection.open()
        return client.send(query, over=connection, left=lambda: None)


class TestFailure:
    @pytest.mark.parametrize(
        ("fault", "error", "status", "connections"),
        [
            *FAILURES,
            ("rejected:CB-01-0001", CubeRecipientRejected, 200, 1),
            ("rejected:CB-04-9999", CubeMessageRejected, 200, 1),
            ("rejected:CB-99-9500", CubeInternalError, 200, 1),
            ("delay:60", CubeOutcomeUnknown, None, 2),
            ("trickle:0.2", CubeOutcomeUnknown, None, 2),
        ],
    )
    def test_is_told_and_the_next_message_is_sent(
        self,
        cube: CubeSimulator,
        connect: Connect,
        fault: str,
        error: type[CubeError],
        status: int | None,
        connections: int,
    ) -> None:
        # Given a provider that fails once
        cube.configure(device_faults={DEVICE: f"{fault}*1"})
        client = connect(cube.url, read_timeout=1.0)
        # When
        caught = failure(client)
        # Then there was one POST, and nothing came after it
        assert (type(caught), caught.status) == (error, status)
        assert 0 < caught.latency < 20
        assert cube.stats()["received"] == 1
        # And the client works as before
        assert post(client, send_request()).code == "CB-00-0000"
        assert cube.stats()["connections"] == connections

    @pytest.mark.parametrize("is_terse", [True, False])
    @pytest.mark.parametrize(
        ("setting", "kind", "code"),
        [
            ({"unknown_devices": [HUNDRED[7]]}, CubeRecipientRejected, "CB-01-0001"),
            ({"foreign_devices": [HUNDRED[7]]}, CubeRecipientRejected, "CB-01-0006"),
            ({"keys": {}}, CubeAuthenticationError, "CB-99-9401"),
            ({"signed_spaces": "remove"}, CubeAuthenticationError, "CB-99-9403"),
        ],
    )
    def test_means_the_same_under_any_status(
        self,
        cube: CubeSimulator,
        connect: Connect,
        setting: dict[str, Any],
        kind: type[CubeError],
        code: str,
        is_terse: bool,
    ) -> None:
        cube.configure(envelope_only=is_terse, **setting)
        caught = failure(connect(cube.url), *HUNDRED)
        assert (type(caught), caught.code) == (kind, code)
        assert cube.stats()["messages"] == 0

    def test_of_a_sim_that_is_given_twice_may_be_of_a_recipient(self, cube: CubeSimulator, connect: Connect) -> None:
        caught = failure(connect(cube.url), DEVICE, DEVICE)
        assert (type(caught), caught.code, caught.is_of_recipients) == (CubeRejected, "CB-99-9400", True)

    def test_of_the_clock(self, cube: CubeSimulator, connect: Connect) -> None:
        with pytest.raises(CubeRejected):
            post(connect(cube.url, clock=lambda: time.time() + 660), send_request())
        assert cube.requests()[0]["reason"] == "timestamp"


class TestAnswer:
    @pytest.mark.parametrize("status", [200, 400, 403, 500, 503])
    @pytest.mark.parametrize(("code", "kind"), [item for item in MEANINGS.items() if item[1].outcome == "no"])
    def test_code_that_decides_holds_under_any_status(
        self, connect: Connect, code: str, kind: type[CubeError], status: int
    ) -> None:
        with Wire(answer(said(code), status)) as wire:
            caught = failure(connect(wire.url))
        assert (type(caught), caught.code) == (kind, code)

    @pytest.mark.parametrize("code", [code for code, kind in MEANINGS.items() if kind.outcome == "unknown"])
    @pytest.mark.parametrize(
        ("status", "headers", "kind"),
        [
            (200, {}, CubeInternalError),
            (500, {}, CubeInternalError),
            (503, {}, CubeInternalError),
            (503, {"Retry_After": "1"}, CubeUnavailable),
            (429, {}, CubeThrottled),
            (400, {}, CubeRejected),
        ],
    )
    def test_code_that_leaves_it_open_gives_way_to_a_status_that_does_not(
        self,
        connect: Connect,
        code: str,
        status: int,
        headers: dict[str, str],
        kind: type[CubeError],
    ) -> None:
        with Wire(answer(said(code), status, **headers)) as wire:
            caught = failure(connect(wire.url))
        assert type(caught) is kind
        assert (caught.outcome == "unknown") == (kind is CubeInternalError)

    def test_deployment_knows_better(self, connect: Connect) -> None:
        codes = {"CB-99-9500": "unavailable", "CB-07-0001": "throttled"}
        for code, kind in (("CB-99-9500", CubeUnavailable), ("CB-07-0001", CubeThrottled)):
            with Wire(answer(said(code))) as wire:
                assert type(failure(connect(wire.url, answer_codes=codes))) is kind

    def test_success_is_never_looked_up(self, connect: Connect) -> None:
        with pytest.raises(ValueError, match="code of success"):
            connect("https://cube.example", answer_codes={"CB-00-0000": "throttled"})

    @pytest.mark.parametrize(
        ("body", "job_id"),
        [
            (SUCCESS, JOB),
            (SUCCESS | {"more": 1}, JOB),
            (SUCCESS | {"data": None}, None),
            (SUCCESS | {"data": {}}, None),
            (SUCCESS | {"data": {"job_id": 7}}, None),
            (SUCCESS | {"data": {"job_id": "x" * 129}}, None),
            (SUCCESS | {"data": {"job_id": "two words"}}, None),
            ({"status": {"code": "CB-00-0000"}}, None),
            (b'{"status":{"code":"CB-00-0000"},"data":{"job_id":"1","job_id":"2"}}', None),
        ],
        ids=repr,
    )
    def test_success_with_and_without_a_job(self, connect: Connect, body: Any, job_id: str | None) -> None:
        with Wire(answer(body)) as wire:
            accepted = post(connect(wire.url), send_request())
        assert (accepted.code, accepted.job_id) == ("CB-00-0000", job_id)

    @pytest.mark.parametrize(
        "body",
        [
            {"code": "0000", "data": None, "message": "success", "success": True},
            {"status": "CB-00-0000"},
            {"status": {"code": 0}},
            {"status": {}},
            {"status": [{"code": "CB-00-0000"}]},
            [SUCCESS],
            b'{"status":{"code":"CB-00-0000","code":"CB-99-9400"}}',
            b'{"status":{"code":"CB-00-0000"},"status":{"code":"CB-99-9400"}}',
        ],
        ids=repr,
    )
    def test_what_is_no_envelope_leaves_the_outcome_unknown(self, connect: Connect, body: Any) -> None:
        with Wire(answer(body)) as wire:
            assert type(failure(connect(wire.url))) is CubeOutcomeUnknown

    @pytest.mark.parametrize("status", [201, 202, 302, 404, 418, 500, 504])
    def test_success_under_another_status_leaves_the_outcome_unknown(self, connect: Connect, status: int) -> None:
        with Wire(answer(SUCCESS, status, Location="/elsewhere")) as wire:
            assert type(failure(connect(wire.url))) is CubeOutcomeUnknown
            assert len(wire.requests) == 1

    def test_words_are_kept_without_what_they_quote(self, connect: Connect) -> None:
        words = f"{HUNDRED[1]} and {HUNDRED[0]}: My PIN is 4711, by {KEY_ID}"
        with Wire(answer(said("CB-77-0001", words))) as wire:
            client = connect(wire.url, keeps_messages=True)
            with pytest.raises(CubeRejected) as caught:
                post(client, *(send_request("My PIN is 4711", deviceId=device) for device in HUNDRED[:2]))
        assert caught.value.message == f"{'*' * 16}0001 and {'*' * 16}0000: [redacted], by [redacted]"


class TestDialects:
    @pytest.fixture
    def provider(self, cube: CubeSimulator) -> Any:
        return make_provider(deployment(cube_base_url=cube.url, cube_v4_base_url=f"{cube.url}/cube/v4"), 1)

    def test_each_account_has_its_own(self, cube: CubeSimulator, provider: Any) -> None:
        # Given one connection for both, when messages go out in turns
        both = [CREDENTIALS, V4_CREDENTIALS]
        codes = [post_with(provider, send_request(), credentials=each).code for each in both * 3]
        # Then each is of its account's dialect, and all went over one connection to the one server
        assert codes == ["0000", "CB-00-0000"] * 3
        assert (cube.stats()["accepted"], cube.stats()["connections"]) == (6, 1)
        assert [provider.most_recipients(each) for each in both] == [1, 100]
        assert [provider.repeats_within(each) for each in both] == [0.0, 10.0]
        provider.close()

    @pytest.mark.parametrize("size", [1, 2])
    def test_connections_to_two_servers_are_as_many_as_to_one(self, size: int) -> None:
        # Given two servers, since the dialects may have two addresses
        csss = {"code": "0000", "success": True}
        with Wire(answer(csss)) as first, Wire(answer(SUCCESS)) as second:
            provider = make_provider(deployment(cube_base_url=first.url, cube_v4_base_url=second.url), size)
            # When messages go to both in turns
            for _ in range(3):
                for credentials in (CREDENTIALS, V4_CREDENTIALS):
                    post_with(provider, send_request(), credentials=credentials)
            # Then one that is idle makes room for one to the other server
            assert (first.connections, second.connections) == ((3, 3) if size == 1 else (1, 1))
            provider.close()

    def test_query_is_not_posted_over_a_line_to_another_server(self) -> None:
        # Given an account that moves to the other dialect while its message has a line
        with Wire(answer(SUCCESS)) as first, Wire(answer(SUCCESS)) as second:
            provider = make_provider(deployment(cube_base_url=first.url, cube_v4_base_url=second.url), 1)
            with provider.connection(CREDENTIALS) as line:
                line.open()
                query = provider.prepare(V4_CREDENTIALS, [send_request()])
                with pytest.raises(CubeUnavailable, match="another server"):
                    provider.send(query, over=line, left=lambda: None)
            assert first.requests == second.requests == []
            provider.close()

    @pytest.mark.parametrize("code", ["0000", "CB-00-0000"])
    def test_success_of_either_is_never_looked_up(self, code: str) -> None:
        with pytest.raises(SettingsError, match="CUBE_ANSWER_CODES"):
            make_provider(deployment(cube_answer_codes={code: "throttled"}), 1)


def deployment(**given: Any) -> Settings:
    needed = {"cube_secret_id": "s", "messages_table": "t", "send_queue_url": "q", "dead_letter_queue_url": "d"}
    return Settings(**{"cube_base_url": "https://cube.example", "rejected_queue_url": "r", **needed, **given})


def test_body_is_what_json_reads(connect: Connect) -> None:
    with Wire(answer(SUCCESS)) as wire:
        post(connect(wire.url), send_request('He said "C:\\temp" </script>'))
        body = json.loads(wire.requests[0][1])
    assert body == {"message": {"content": 'He said "C:\\temp" </script>', "type": 1}, "sim_ids": [DEVICE]}
