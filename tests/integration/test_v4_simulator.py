"""The simulator as clients of Cube v4 meet it: over a socket, with signatures made by other means."""

from __future__ import annotations

import base64
import itertools
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from local.keys import KeyPair
from tests.integration.simulated import NOW, Answer, Simulated

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/cube/v4/sms"
KEY_ID, OTHER_ID = "key-one", "key-two"
KEY, OTHER = KeyPair.new(), KeyPair.new()
SIMS = [f"8931{number:04}" for number in range(101)]
nonces = (f"nonce-{number}" for number in itertools.count())


def text_of(parameters: dict[str, Any]) -> str:
    return json.dumps(parameters, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def sign(text: str, pem: str = KEY.private) -> str:
    key = load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, RSAPrivateKey)
    return base64.b64encode(key.sign(text.encode(), PKCS1v15(), hashes.SHA1())).decode()


class Simulator(Simulated):
    """The simulator, as clients that use v4 meet it."""

    def headers(self, parameters: dict[str, Any], path: str, **changes: str) -> dict[str, str]:
        own = {"timestamp": str(round(self.now * 1000)), "nonce": next(nonces)} | changes
        signed = {name: own[name] for name in ("timestamp", "nonce")} | {"x-sign-uri": path}
        key = changes.get("key", KEY.private)
        return {
            "Content-Type": "application/json",
            "Authorization": f"LF {own.get('key_id', KEY_ID)}/{sign(text_of(parameters | signed), key)}",
            "X-LF-Signature-Type": "2.0",
            **signed,
        }

    def send(self, *sims: str, content: Any = "hello", kind: Any = 1, nonce: str | None = None, **more: Any) -> Answer:
        parameters = {"sim_ids": [*(sims or SIMS[:1])], "message": {"type": kind, "content": content}} | more
        return self.post(parameters, **({"nonce": nonce} if nonce else {}))

    def post(self, parameters: dict[str, Any], path: str = PATH, **changes: str) -> Answer:
        return self.call("POST", path, parameters, self.headers(parameters, path, **changes))

    def list(self, kind: str, sim: str = SIMS[0], **query: Any) -> Answer:
        path = f"{PATH}/{kind}/{sim}"
        texts = {name: str(value) for name, value in query.items()}
        return self.call("GET", f"{path}?{urlencode(texts)}", None, self.headers(texts, path))


def code(answer: Answer) -> str:
    return str(answer.json["status"]["code"])


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator.running() as running:
        running.configure(keys={KEY_ID: KEY.public}, qps=0)
        yield running


class TestSending:
    def test_answer_names_a_job(self, simulator: Simulator) -> None:
        answer = simulator.send(SIMS[0], SIMS[1])
        assert answer.status == 200
        job = answer.json["data"]["job_id"]
        assert answer.json == {
            "data": {"job_id": job},
            "status": {"code": "CB-00-0000", "message": "Success", "detail": []},
        }
        # And the request log has both messages of one query
        first, second = simulator.requests()
        assert (first["n"], first["jobId"], first["accessCode"]) == (second["n"], job, KEY_ID)
        assert [entry["deviceId"] for entry in (first, second)] == SIMS[:2]
        assert (first["contents"], first["messageType"], first["accepted"]) == (["hello"], "Text", True)

    def test_body_may_stand_in_any_order_and_form(self, simulator: Simulator) -> None:
        parameters = {"message": {"content": "温度/é 😀 a", "type": 1}, "sim_ids": SIMS[:1]}
        body = json.dumps({"sim_ids": SIMS[:1], "message": {"type": 1, "content": "温度/é 😀 a"}}, indent=2).encode()
        assert simulator.call("POST", PATH, body, simulator.headers(parameters, PATH)).status == 200

    @pytest.mark.parametrize("is_signed", [True, False])
    def test_null_and_empty_values_may_be_left_out_of_the_text(self, simulator: Simulator, is_signed: bool) -> None:
        parameters = {"sim_ids": SIMS[:1], "message": {"type": 1, "content": "a"}}
        empty = {"remark": None, "tag": ""}
        headers = simulator.headers(parameters | (empty if is_signed else {}), PATH)
        assert simulator.call("POST", PATH, parameters | empty, headers).status == 200

    @pytest.mark.parametrize(
        ("changes", "status", "refused"),
        [
            ({"key_id": "nobody"}, 401, "CB-99-9401"),
            ({"key_id": ""}, 401, "CB-99-9401"),
            ({"key": OTHER.private}, 403, "CB-99-9403"),
            ({"timestamp": str(NOW)}, 400, "CB-99-9400"),
            ({"timestamp": str((NOW - 601) * 1000)}, 400, "CB-99-9400"),
            ({"timestamp": str((NOW + 601) * 1000)}, 400, "CB-99-9400"),
            ({"nonce": ""}, 400, "CB-99-9402"),
        ],
    )
    def test_wrong_signature_is_refused(
        self, simulator: Simulator, changes: dict[str, str], status: int, refused: str
    ) -> None:
        answer = simulator.post({"sim_ids": SIMS[:1], "message": {"type": 1, "content": "a"}}, **changes)
        assert (answer.status, code(answer)) == (status, refused)

    @pytest.mark.parametrize("name", ["Authorization", "timestamp", "nonce", "X-LF-Signature-Type"])
    def test_header_that_is_missing_is_refused(self, simulator: Simulator, name: str) -> None:
        parameters = {"sim_ids": SIMS[:1], "message": {"type": 1, "content": "a"}}
        headers = simulator.headers(parameters, PATH)
        del headers[name]
        assert simulator.call("POST", PATH, parameters, headers).status in (400, 401)

    def test_signature_is_of_the_path_and_of_each_value(self, simulator: Simulator) -> None:
        parameters = {"sim_ids": SIMS[:1], "message": {"type": 1, "content": "a b"}}
        headers = simulator.headers(parameters, PATH)
        assert code(simulator.call("POST", "/sms", parameters, headers)) == "CB-99-9403"
        for other in ({"sim_ids": SIMS[:2]}, {"message": {"type": 1, "content": "a  b"}}, {"more": 1}):
            assert code(simulator.call("POST", PATH, parameters | other, headers)) == "CB-99-9403"
        assert simulator.call("POST", PATH, parameters, headers).status == 200

    def test_spaces_are_signed_as_configured(self, simulator: Simulator) -> None:
        simulator.configure(signedSpaces="remove")
        parameters = {"sim_ids": SIMS[:1], "message": {"type": 1, "content": "a b"}}
        without = parameters | {"message": {"type": 1, "content": "ab"}}
        assert simulator.call("POST", PATH, parameters, simulator.headers(without, PATH)).status == 200
        assert simulator.call("POST", PATH, parameters, simulator.headers(parameters, PATH)).status == 403

    def test_both_keys_are_taken_while_they_are_rotated(self, simulator: Simulator) -> None:
        simulator.configure(keys={KEY_ID: [KEY.public, OTHER.public]})
        body = {"sim_ids": SIMS[:1], "message": {"type": 1, "content": "a"}}
        assert [simulator.post(body, key=pair.private).status for pair in (KEY, OTHER)] == [200, 200]

    @pytest.mark.parametrize(
        ("body", "refused"),
        [
            ({"message": {"type": 1, "content": "a"}}, "CB-99-9402"),
            ({"sim_ids": [], "message": {"type": 1, "content": "a"}}, "CB-99-9402"),
            ({"sim_ids": SIMS[:1]}, "CB-99-9402"),
            ({"sim_ids": SIMS[0], "message": {"type": 1, "content": "a"}}, "CB-99-9400"),
            ({"sim_ids": [1], "message": {"type": 1, "content": "a"}}, "CB-99-9400"),
            ({"sim_ids": SIMS, "message": {"type": 1, "content": "a"}}, "CB-99-9400"),
            ({"sim_ids": [*SIMS[:2], SIMS[0]], "message": {"type": 1, "content": "a"}}, "CB-99-9400"),
            ({"sim_ids": SIMS[:1], "message": {"type": "1", "content": "a"}}, "CB-99-9400"),
            ({"sim_ids": SIMS[:1], "message": {"type": 3, "content": "a"}}, "CB-99-9400"),
            ({"sim_ids": SIMS[:1], "message": {"type": True, "content": "a"}}, "CB-99-9400"),
            ({"sim_ids": SIMS[:1], "message": {"type": [1], "content": "a"}}, "CB-99-9400"),
            ({"sim_ids": SIMS[:1], "message": "a"}, "CB-99-9400"),
            ({"sim_ids": SIMS[:1], "message": {"type": 1, "content": ""}}, "CB-04-9999"),
            ({"sim_ids": SIMS[:1], "message": {"type": 1}}, "CB-04-9999"),
            ({"sim_ids": SIMS[:1], "message": {"type": 2, "content": "0G"}}, "CB-04-9999"),
        ],
    )
    def test_wrong_parameter_is_refused(self, simulator: Simulator, body: dict[str, Any], refused: str) -> None:
        assert code(simulator.post(body)) == refused
        assert simulator.stats()["messages"] == 0

    def test_hundred_sims_are_taken(self, simulator: Simulator) -> None:
        assert simulator.send(*SIMS[:100]).status == 200
        assert simulator.stats()["messages"] == 100

    @pytest.mark.parametrize(
        ("setting", "refused"), [("unknownDevices", "CB-01-0001"), ("foreignDevices", "CB-01-0006")]
    )
    def test_one_bad_sim_refuses_all(self, simulator: Simulator, setting: str, refused: str) -> None:
        simulator.configure(**{setting: [SIMS[1]]})
        answer = simulator.send(*SIMS[:3])
        assert (answer.status, code(answer)) == (200, refused)
        assert [entry["reason"] for entry in simulator.requests()] == [simulator.requests()[0]["reason"]] * 3
        assert simulator.send(SIMS[0], SIMS[2]).status == 200

    def test_language_is_english_unless_it_is_asked_for(self, simulator: Simulator) -> None:
        simulator.configure(unknownDevices=[SIMS[0]])
        parameters = {"sim_ids": SIMS[:1], "message": {"type": 1, "content": "a"}}
        for language, said in ((None, "unknown device"), ("en-US", "unknown device"), ("zh-CN", "设备不存在")):
            headers = simulator.headers(parameters, PATH) | ({"Accept-Language": language} if language else {})
            answer = simulator.call("POST", PATH, parameters, headers)
            assert answer.json["status"]["message"] == said


class TestNonce:
    def test_same_request_is_one_job_for_ten_seconds(self, simulator: Simulator) -> None:
        first = simulator.send(*SIMS[:2], nonce="once").json["data"]["job_id"]
        simulator.now += 9.9
        assert simulator.send(*SIMS[:2], nonce="once").json["data"]["job_id"] == first
        stats = simulator.stats()
        assert (stats["received"], stats["accepted"], stats["repeated"], stats["messages"]) == (2, 1, 1, 2)
        assert [entry["accepted"] for entry in simulator.requests(f"?deviceId={SIMS[0]}")] == [True, False]
        # After that it is another one
        simulator.now += 0.2
        assert simulator.send(*SIMS[:2], nonce="once").json["data"]["job_id"] != first
        assert simulator.stats()["messages"] == 4

    @pytest.mark.parametrize(
        ("sims", "content"), [(SIMS[:1], "hello"), (SIMS[1::-1], "hello"), (SIMS[:2], "bye")], ids=str
    )
    def test_another_request_with_it_is_refused(self, simulator: Simulator, sims: list[str], content: str) -> None:
        simulator.send(*SIMS[:2], nonce="once")
        answer = simulator.send(*sims, content=content, nonce="once")
        assert (answer.status, code(answer)) == (400, "CB-99-9400")
        assert simulator.stats()["reasons"] == {"nonce": 1}

    def test_is_not_used_up_by_what_was_not_processed(self, simulator: Simulator) -> None:
        simulator.configure(nextFaults=["status:500"])
        assert simulator.send(nonce="once").status == 500
        assert simulator.send(content="other", nonce="once").status == 200

    def test_is_the_accounts_own(self, simulator: Simulator) -> None:
        simulator.configure(keys={KEY_ID: KEY.public, OTHER_ID: OTHER.public})
        body = {"sim_ids": SIMS[:1], "message": {"type": 1, "content": "a"}}
        answers = [
            simulator.post(body, nonce="once", key_id=name, key=pair.private)
            for name, pair in ((KEY_ID, KEY), (OTHER_ID, OTHER))
        ]
        assert len({answer.json["data"]["job_id"] for answer in answers}) == 2


class TestLimits:
    def test_queries_count_and_not_messages(self, simulator: Simulator) -> None:
        simulator.configure(qps=2)
        assert [simulator.send(*SIMS[:50]).status for _ in range(3)] == [200, 200, 429]
        assert simulator.stats()["quotaUsed"] == 2

    def test_queries_that_read_count_too(self, simulator: Simulator) -> None:
        simulator.configure(quota=2)
        assert [simulator.list("mt").status, simulator.send().status, simulator.list("mo").status] == [200, 200, 429]
        assert simulator.stats()["read"] == 2


class TestLists:
    def test_sent_messages_are_listed_newest_first(self, simulator: Simulator) -> None:
        simulator.send(*SIMS[:2], content="one")
        simulator.now += 1
        simulator.send(SIMS[0], content="0A", kind=2)
        simulator.configure(unknownDevices=[SIMS[5]])
        simulator.send(SIMS[0], SIMS[5], content="refused")
        data = simulator.list("mt").json["data"]
        assert data["total_count"] == 2
        newest, oldest = data["list"]
        assert newest["content"] == {"type": 2, "message": "0A"}
        assert newest["sent_at"] == "2022-01-27T03:18:51.000+00:00"
        assert (oldest["content"]["message"], oldest["status"], oldest["sim_id"]) == ("one", 1, SIMS[0])

    def test_pages(self, simulator: Simulator) -> None:
        for number in range(5):
            simulator.send(content=str(number))
            simulator.now += 1
        pages = [simulator.list("mt", page_no=number, page_size=2).json["data"] for number in (1, 2, 3, 4)]
        contents = [[item["content"]["message"] for item in page["list"]] for page in pages]
        assert contents == [["4", "3"], ["2", "1"], ["0"], []]
        assert {page["total_count"] for page in pages} == {5}

    @pytest.mark.parametrize(("status", "count"), [(1, 0), (2, 1), (3, 0), (4, 1)])
    def test_statuses_are_selected(self, simulator: Simulator, status: int, count: int) -> None:
        simulator.send()
        simulator.configure(sentStatuses={SIMS[0]: 2})
        data = simulator.list("mt", status=status).json["data"]
        assert data["total_count"] == count
        assert all(item["error"]["code"] for item in data["list"])

    def test_each_message_ends_after_a_while_and_in_its_own_way(self, simulator: Simulator) -> None:
        simulator.configure(sentStatuses={SIMS[0]: [1, 2]}, receiptDelay=60, receiptDelays={SIMS[1]: 5})
        for number in range(3):
            simulator.send(content=str(number))
        at_once = simulator.list("mt").json["data"]["list"]
        assert {(item["status"], item["update_at"] == item["sent_at"]) for item in at_once} == {(3, True)}
        simulator.now += 60
        ended = {item["content"]["message"]: item for item in simulator.list("mt").json["data"]["list"]}
        assert [(ended[text]["status"], bool(ended[text]["error"]["code"])) for text in "012"] == [
            (1, False),
            (2, True),
            (2, True),
        ]
        assert all(item["update_at"] > item["sent_at"] for item in ended.values())

    def test_time_ranges_are_selected(self, simulator: Simulator) -> None:
        for _ in range(3):
            simulator.send()
            simulator.now += 10
        query: dict[str, Any] = {"begin_from": (NOW + 5) * 1000, "end_by": (NOW + 15) * 1000}
        assert simulator.list("mt", **query).json["data"]["total_count"] == 1
        # The last seven days, unless it is said
        simulator.now = NOW + 7 * 86_400 + 15
        assert simulator.list("mt").json["data"]["total_count"] == 1

    @pytest.mark.parametrize(
        ("query", "refused"),
        [
            ({"begin_from": 2, "end_by": 1}, "CB-00-0001"),
            ({"begin_from": 0}, "CB-00-0001"),
            ({"page_size": 101}, "CB-99-9400"),
            ({"page_size": 0}, "CB-99-9400"),
            ({"page_no": 0}, "CB-99-9400"),
            ({"page_no": "x"}, "CB-99-9400"),
            ({"status": 5}, "CB-99-9400"),
        ],
    )
    def test_wrong_query_is_refused(self, simulator: Simulator, query: dict[str, Any], refused: str) -> None:
        answer = simulator.list("mt", **query)
        assert (answer.status, code(answer)) == (400, refused)

    def test_replies_are_those_that_were_put_there(self, simulator: Simulator) -> None:
        reply = {"simId": SIMS[0], "content": "pong"}
        assert simulator.call("POST", "/_replies", reply).status == 200
        at = (NOW - 60) * 1000
        assert simulator.call("POST", "/_replies", reply | {"receivedAt": at, "type": 2}).status == 200
        data = simulator.list("mo").json["data"]
        assert data["total_count"] == 2
        assert [item["received_at"] for item in data["list"]] == [NOW * 1000, at]
        assert data["list"][0]["message"] == {"type": 1, "content": "pong"}
        assert simulator.list("mo", SIMS[1]).json["data"] == {"total_count": 0, "list": []}

    @pytest.mark.parametrize("reply", [{}, {"simId": SIMS[0]}, {"simId": SIMS[0], "content": "a", "type": 3}])
    def test_wrong_reply_is_refused(self, simulator: Simulator, reply: dict[str, Any]) -> None:
        assert simulator.call("POST", "/_replies", reply).status == 400

    def test_list_is_for_its_organisation(self, simulator: Simulator) -> None:
        simulator.configure(foreignDevices=[SIMS[0]])
        assert code(simulator.list("mt")) == "CB-01-0006"
        path = f"{PATH}/mt/{SIMS[0]}"
        assert simulator.call("GET", path).status == 401

    def test_wrong_method_is_refused(self, simulator: Simulator) -> None:
        assert simulator.call("GET", PATH).headers["Allow"] == "POST"
        assert simulator.call("POST", f"{PATH}/mt/{SIMS[0]}").headers["Allow"] == "GET"


class TestConfiguration:
    @pytest.mark.parametrize(
        "keys", [{KEY_ID: "Zebra"}, {KEY_ID: KEY.private}, {KEY_ID: []}, [KEY.public]], ids=lambda keys: str(keys)[:20]
    )
    def test_wrong_key_is_refused(self, simulator: Simulator, keys: Any) -> None:
        answer = simulator.call("PUT", "/_config", {"keys": keys})
        assert answer.status == 400
        assert answer.json["error"].startswith("keys: ")

    def test_keys_are_counted(self, simulator: Simulator) -> None:
        assert simulator.call("GET", "/_config").json["keys"] == {KEY_ID: 1}
