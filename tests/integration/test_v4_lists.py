"""The list of messages to a SIM, over a socket: what is asked, what is read, and the error for each failure."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cube_sms.platform import FollowUpSettings
from cube_sms.provider import Heard, Listing, ListPage, Receipt, make_provider
from cube_sms.provider.base import (
    CubeAuthenticationError,
    CubeError,
    CubeOutcomeUnknown,
    CubeRecipientRejected,
    CubeThrottled,
    CubeUnavailable,
)
from cube_sms.provider.v4 import CubeV4Client
from cube_sms.provider.v4.lists import PAGE_SIZE
from tests.integration.wire import Wire, answer
from tests.support import CREDENTIALS, DEVICE, post, send_request
from tests.v4_account import V4_CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cube_simulator import CubeSimulator

    type Connect = Callable[..., CubeV4Client]

SINCE, UNTIL = 1_800_000_000.25, 1_800_000_600.0
ITEM = {
    "org_id": "O1",
    "sim_id": DEVICE,
    "msisdn": "+9990",
    "sent_at": "2027-01-15T08:00:00.500Z",
    "content": {"type": 1, "message": "Hello"},
    "status": 1,
    "error": {"code": "", "message": ""},
}


@pytest.fixture
def connect(connect: Connect) -> Connect:
    return partial(connect, kind=CubeV4Client)


def ask(client: CubeV4Client, page: int = 1, *, device: str = DEVICE, at: float | None = None) -> ListPage[Receipt]:
    """Ask for a page, over a connection that is opened for it."""
    lists = client.lists(V4_CREDENTIALS)
    since, until = (SINCE, UNTIL) if at is None else (at - 60, at + 60)
    with client.connection(V4_CREDENTIALS) as line:
        line.open()
        listing = Listing(V4_CREDENTIALS, device, since, until, page)
        return lists.receipts(listing, over=line, left=lambda: None)


def listed(*items: Any, total: int | None = None, name: str = "list") -> dict[str, Any]:
    data = {"total_count": len(items) if total is None else total, name: list(items)}
    return {"data": data, "status": {"code": "CB-00-0000", "message": "Success", "detail": []}}


def read(connect: Connect, body: Any, status: int = 200, **options: Any) -> ListPage[Receipt]:
    with Wire(answer(body, status)) as wire:
        return ask(connect(f"{wire.url}/cube/v4", **options))


class TestQuestion:
    def test_is_as_the_provider_documents_it(self, connect: Connect) -> None:
        with Wire(answer(listed())) as wire:
            ask(connect(f"{wire.url}/cube/v4"), page=3)
            ((head, body),) = wire.requests
        method, target, _ = head.splitlines()[0].split(" ")
        assert (method, urlsplit(target).path, body) == ("GET", f"/cube/v4/sms/mt/{DEVICE}", b"")
        assert parse_qs(urlsplit(target).query) == {
            "begin_from": ["1800000000250"],
            "end_by": ["1800000600000"],
            "page_no": ["3"],
            "page_size": [str(PAGE_SIZE)],
        }

    @pytest.mark.parametrize("spaces", ["keep", "remove"])
    def test_is_signed_as_the_provider_verifies_it(self, connect: Connect, cube: CubeSimulator, spaces: str) -> None:
        cube.configure(signed_spaces=spaces)
        client = connect(f"{cube.url}/cube/v4", signed_spaces=spaces)
        post(client, send_request("温度 é"), credentials=V4_CREDENTIALS)
        (sent,) = cube.requests(DEVICE)
        page = ask(client, at=sent["at"])
        assert [(each.text, each.is_delivered) for each in page.items] == [("温度 é", True)]
        assert (page.listed, page.total, page.answer.code) == (1, 1, "CB-00-0000")

    def test_pages_are_all_of_it(self, connect: Connect, cube: CubeSimulator) -> None:
        client = connect(f"{cube.url}/cube/v4")
        for number in range(PAGE_SIZE + 2):
            post(client, send_request(str(number), requestId=f"order-{number}"), credentials=V4_CREDENTIALS)
        at = cube.requests(DEVICE)[0]["at"]
        pages = [ask(client, page, at=at) for page in (1, 2)]
        assert [(page.listed, page.total) for page in pages] == [(PAGE_SIZE, PAGE_SIZE + 2), (2, PAGE_SIZE + 2)]
        assert len({each.text for page in pages for each in page.items}) == PAGE_SIZE + 2

    def test_name_of_a_device_is_no_path(self, connect: Connect) -> None:
        with Wire(answer(listed())) as wire:
            ask(connect(f"{wire.url}/cube/v4"), device="a/../b?c")
            ((head, _),) = wire.requests
        assert head.splitlines()[0].split(" ")[1].startswith("/cube/v4/sms/mt/a%2F..%2Fb%3Fc?")

    def test_line_to_another_server_is_refused(self, connect: Connect) -> None:
        with Wire(answer(listed())) as wire:
            other, client = (connect(f"{url}/cube/v4") for url in ("http://127.0.0.1:1", wire.url))
            with other.connection(V4_CREDENTIALS) as line, pytest.raises(CubeUnavailable):
                client.receipts(Listing(V4_CREDENTIALS, DEVICE, 0, 1), over=line, left=lambda: None)


class TestAnswer:
    def test_is_read_under_whatever_name_the_items_have(self, connect: Connect) -> None:
        page = read(connect, listed(ITEM, name="records"))
        assert page.items == (Receipt(1_800_000_000.5, "Text", "Hello", True),)

    @pytest.mark.parametrize(("status", "expected"), [(1, True), (2, False), (3, None)])
    def test_says_how_a_message_ended(self, connect: Connect, status: int, expected: bool | None) -> None:
        (receipt,) = read(connect, listed(ITEM | {"status": status})).items
        assert receipt.is_delivered is expected

    def test_error_is_told_without_words_unless_they_are_kept(self, connect: Connect) -> None:
        error = {"code": "CB-04-0001", "message": f"no Hello to {DEVICE}"}
        item = ITEM | {"status": 2, "error": error}
        (receipt,) = read(connect, listed(item)).items
        assert (receipt.code, receipt.message) == ("CB-04-0001", None)
        (receipt,) = read(connect, listed(item), keeps_messages=True).items
        assert receipt.message is not None
        assert "Hello" not in receipt.message
        assert DEVICE not in receipt.message

    @pytest.mark.parametrize("code", ["Hello", "x" * 100, "secret word"])
    def test_code_that_may_quote_anything_is_not_kept(self, connect: Connect, code: str) -> None:
        (receipt,) = read(connect, listed(ITEM | {"status": 2, "error": {"code": code}})).items
        assert receipt.code == "[redacted]"

    @pytest.mark.parametrize(
        ("sent_at", "seconds"),
        [
            ("2027-01-15T08:00:00Z", 1_800_000_000.0),
            ("2027-01-15T16:00:00+08:00", 1_800_000_000.0),
            ("2027-01-15 08:00:00", 1_800_000_000.0),
        ],
    )
    def test_time_is_in_utc_unless_it_says_otherwise(self, connect: Connect, sent_at: str, seconds: float) -> None:
        (receipt,) = read(connect, listed(ITEM | {"sent_at": sent_at})).items
        assert receipt.sent_at == seconds

    @pytest.mark.parametrize(
        "change",
        [
            {"sent_at": None},
            {"sent_at": "yesterday"},
            {"status": 4},
            {"status": "1"},
            {"content": None},
            {"content": {"type": 3, "message": "Hello"}},
            {"content": {"type": 1, "message": None}},
        ],
        ids=json.dumps,
    )
    def test_item_that_cannot_be_read_is_left_out_and_counted(self, connect: Connect, change: dict[str, Any]) -> None:
        page = read(connect, listed(ITEM | change, ITEM))
        assert (len(page.items), page.listed, page.total) == (1, 2, 2)

    @pytest.mark.parametrize(
        "data",
        [
            None,
            [],
            {"total_count": 1},
            {"list": []},
            {"total_count": "1", "list": [ITEM]},
            {"total_count": -1, "list": []},
            {"total_count": 0, "list": [], "others": []},
        ],
        ids=lambda data: json.dumps(data)[:40],
    )
    def test_other_forms_are_not_read(self, connect: Connect, data: Any) -> None:
        body = {"data": data, "status": {"code": "CB-00-0000", "message": "Success"}}
        with pytest.raises(CubeOutcomeUnknown, match="cannot be read"):
            read(connect, body)

    @pytest.mark.parametrize(
        ("code", "status", "error"),
        [
            ("CB-99-9403", 200, CubeAuthenticationError),
            ("CB-01-0001", 200, CubeRecipientRejected),
            ("CB-00-9999", 429, CubeThrottled),
            ("CB-00-9999", 502, CubeOutcomeUnknown),
        ],
    )
    def test_refusal_is_told_as_for_a_message(
        self, connect: Connect, code: str, status: int, error: type[CubeError]
    ) -> None:
        with pytest.raises(error) as caught:
            read(connect, {"data": None, "status": {"code": code, "message": "no"}}, status)
        assert caught.value.latency > 0


class TestHeard:
    """The list of messages from a SIM."""

    def hear(self, client: CubeV4Client, at: float) -> ListPage[Heard]:
        with client.connection(V4_CREDENTIALS) as line:
            line.open()
            return client.heard(Listing(V4_CREDENTIALS, DEVICE, at - 60, at + 60), over=line, left=lambda: None)

    def test_is_what_the_device_has_sent_in_time(self, connect: Connect, cube: CubeSimulator) -> None:
        # Given what a device has sent, one of it an hour ago
        now = int(time.time() * 1000)
        for content, kind, age in (("old", 1, 3_600_000), ("温度 é", 1, 2000), ("00FF", 2, 1000)):
            cube.add_reply(DEVICE, content, type=kind, receivedAt=now - age)
        # When the provider is asked
        page = self.hear(connect(f"{cube.url}/cube/v4"), now / 1000)
        # Then it is there as it was sent
        assert set(page.items) == {Heard(now - 2000, "Text", "温度 é"), Heard(now - 1000, "Binary", "00FF")}
        assert (page.listed, page.total) == (2, 2)

    @pytest.mark.parametrize(
        "change",
        [
            {"received_at": None},
            {"received_at": "1800000000250"},
            {"received_at": 1_800_000_000},
            {"received_at": 1_800_000_000_000.5},
            {"received_at": 10**15},
            {"message": None},
            {"message": {"type": 3, "content": "Hello"}},
            {"message": {"type": 1}},
            {"message": {"type": 1, "message": "Hello"}},
        ],
        ids=repr,
    )
    def test_item_that_lacks_something_is_left_out(self, connect: Connect, change: dict[str, Any]) -> None:
        item = {"sim_id": DEVICE, "received_at": 1_800_000_000_250, "message": {"type": 1, "content": "Hello"}}
        with Wire(answer(listed(item, item | change), 200)) as wire:
            page = self.hear(connect(f"{wire.url}/cube/v4"), SINCE)
        assert page.items == (Heard(1_800_000_000_250, "Text", "Hello"),)
        assert (page.listed, page.total) == (2, 2)


def test_accounts_of_csss_have_no_lists() -> None:
    settings = FollowUpSettings(
        cube_base_url="https://127.0.0.1", cube_secret_id="secret", messages_table="table", event_bus="bus"
    )
    provider = make_provider(settings, 1)
    assert provider.lists(CREDENTIALS) is None
    assert provider.lists(V4_CREDENTIALS) is not None
