"""How fast a campaign's rows go onto the queue, and how many queries they take at least."""

from __future__ import annotations

import json
import math
from collections import Counter

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cube_sms.campaigns import Pace
from cube_sms.campaigns.pace import AHEAD_SECONDS, LEAST_PAUSE, MOST_AHEAD, MOST_IDLE_PAUSE
from cube_sms.campaigns.queries import FewestQueries
from cube_sms.campaigns.runs import MAX_BATCH_ROWS
from cube_sms.delivery import group_turns, share_of
from cube_sms.request import SendRequest
from tests.support import ACCESS_CODE, SECRET
from tests.unit.campaign_runs import BUCKET, ENVIRONMENT, CampaignRuns
from tests.v4_account import ENTRY

MOST = {"default": 1, "fleet": 100, "other-fleet": 100, "few": 7}

requests = st.lists(
    st.builds(
        SendRequest,
        device_id=st.integers(0, 40).map(lambda number: f"89314404{number:012}"),
        content=st.sampled_from(["Report", "Sleep"]),
        account=st.sampled_from(sorted(MOST)),
        delivery=st.sampled_from(["at-least-once", "at-most-once"]),
    ),
    max_size=120,
)


@pytest.mark.parametrize("qps", [1, 5, 10, 40])
def test_the_queue_holds_minutes_of_sending(qps: int) -> None:
    pace = Pace.of(qps, 1000, 1000)

    seconds = pace.batches_ahead * MAX_BATCH_ROWS / qps
    assert AHEAD_SECONDS <= seconds <= 2 * AHEAD_SECONDS


@given(qps=st.integers(0, 1000), queries=st.integers(1, 1_000_000), share=st.integers(1, 100))
def test_a_campaign_is_looked_at_several_times_while_what_is_ahead_is_sent(qps: int, queries: int, share: int) -> None:
    # Given a campaign of which so many rows share a query
    pace = Pace.of(qps, queries * share, queries)

    # When a batch has been put onto the queue
    pause = pace.pause(MAX_BATCH_ROWS, 10_000, 0.0)

    # Then what is ahead of it lasts for longer than it takes to see that it has ended
    ahead = pace.batches_ahead * MAX_BATCH_ROWS / pace.rate
    assert 2 <= pace.batches_ahead <= MOST_AHEAD
    assert LEAST_PAUSE <= pause <= max(LEAST_PAUSE, ahead / 5) + 1


@given(idle=st.floats(0, 1e7))
def test_a_batch_of_which_nothing_ends_is_looked_at_less_and_less(idle: float) -> None:
    pace = Pace.of(10, 1000, 1000)

    assert pace.pause(300, 10, idle) == max(pace.pause(300, 10, 0.0), math.ceil(min(MOST_IDLE_PAUSE, idle / 4)))


@given(requests)
def test_no_campaign_takes_fewer_queries_than_are_counted(sent: list[SendRequest]) -> None:
    # Given requests in any order
    counted = FewestQueries(MOST.__getitem__)
    for request in sent:
        counted.add(request)

    # When they are all in one batch of the queue
    turns = group_turns([[each] for each in sent], lambda each: share_of(each, MOST[each.account]))

    # Then they take as many, or more if a device is among them twice
    queries = sum(len(turn) for turn in turns)
    assert counted.count <= queries
    alike = Counter(str(share_of(each, 2)) for each in sent)
    if max(alike.values(), default=1) == 1:
        assert counted.count == queries


def test_campaigns_of_ever_new_texts_take_little_memory_and_are_never_counted_too_high(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given more texts than are counted as different ones
    monkeypatch.setattr("cube_sms.campaigns.queries.MOST_KINDS", 10)
    counted = FewestQueries(lambda _account: 100)

    # When
    for number in range(1000):
        counted.add(SendRequest(device_id=f"89314404{number:012}", content=f"text {number}"))

    # Then ten of them count for themselves, and 990 as if they were alike
    assert counted.count == 10 + 10


@pytest.mark.usefixtures("dynamodb")
def test_what_is_ahead_of_a_campaign_is_what_its_accounts_dialect_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a deployment with an account of each dialect
    monkeypatch.setenv("QUEUE_BATCH_SIZE", "1000")
    campaigns = CampaignRuns.deploy(monkeypatch)
    accounts = {"default": {"access_code": ACCESS_CODE, "secret": SECRET}, "fleet": ENTRY}
    secrets = boto3.client("secretsmanager", region_name="eu-central-1")
    secrets.create_secret(Name=ENVIRONMENT["CUBE_SECRET_ID"], SecretString=json.dumps(accounts))

    # When a campaign of one text is prepared for each of them, and for one that there is none of
    found = {}
    for account in ("default", "fleet", "nobody"):
        rows = "".join(f"89314404{number:012},{account}\n" for number in range(900))
        campaigns._s3.put_object(Bucket=BUCKET, Key="texts.csv", Body=f"deviceId,account\n{rows}".encode())
        prepared = campaigns.prepare({"key": "texts.csv", "campaign": account, "content": "Hello"})
        found[account] = (prepared["requests"], prepared["queries"], prepared["batchesAhead"])

    # Then its rows are counted in queries, and as many batches are ahead as these allow
    assert found == {"default": (900, 900, 10), "fleet": (900, 9, 40), "nobody": (900, 900, 10)}
