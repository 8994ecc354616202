"""Compare what is left of a soak: records, the simulator's request log, events, and results of campaigns."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from boto3.dynamodb.types import TypeDeserializer

from cube_sms.delivery import State
from local.workflows import campaign_result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.soak.traffic import Campaign, Sent
    from local.stack import LocalStack

_RECEIVED = "SMS Received"

type Item = Mapping[str, Any]


class Evidence(NamedTuple):
    """Records by their keys, acceptances by device, published ends by message, and event ids by what devices said."""

    records: Mapping[str, Item]
    accepted: Mapping[str, int]
    published: Mapping[str, Mapping[State, set[str]]]
    received: Mapping[str, set[str]]

    @classmethod
    def of(cls, stack: LocalStack, events: Iterable[Item]) -> Evidence:
        """Read them."""
        published: dict[str, dict[State, set[str]]] = defaultdict(lambda: defaultdict(set))
        received: dict[str, set[str]] = defaultdict(set)
        for event in events:
            detail = event["detail"]
            if event["detail-type"] == _RECEIVED:
                received[detail["content"]].add(detail["eventId"])
            else:
                published[detail["messageId"]][State[detail["state"]]].add(detail["eventId"])
        accepted = Counter(post["deviceId"] for post in stack.cube.requests() if post["accepted"])
        return cls(records(stack), accepted, published, received)

    def faults(self, sent: Sequence[Sent]) -> list[str]:
        """Return each promise that is broken to a message, in words."""
        found = []
        for each in sent:
            record = self.records.get(each.message_id)
            words = self._faults(each, record) if record else {"has no record": True}
            found += [f"{each.way}: {each.message_id} {text}: {record}" for text, is_so in words.items() if is_so]
        return found

    def faults_of_replies(self, replies: Iterable[str]) -> list[str]:
        """Return each message from a device that has no event, or several."""
        return [
            f"reply: {len(self.received[text])} events of {text!r}" for text in replies if len(self.received[text]) != 1
        ]

    def faults_of_campaign(self, stack: LocalStack, campaign: Campaign) -> list[str]:
        """Return how the result of a campaign differs from the records of its rows."""
        result = [(row["deviceId"], row["state"]) for row in campaign_result(stack, campaign.key)]
        expected = [(row.device, self.state(row)) for row in campaign.rows]
        # A receipt may have come after the result was written.
        receipts = {"DELIVERED": "SENT", "UNDELIVERED": "SENT"}
        both = [[(device, receipts.get(state, state)) for device, state in rows] for rows in (result, expected)]
        return [] if both[0] == both[1] else [f"campaign {campaign.key}: the result differs from the records: {result}"]

    def state(self, sent: Sent) -> str:
        """Return the state in the record of a message."""
        return str(self.records.get(sent.message_id, {}).get("state", "no record"))

    def _faults(self, sent: Sent, record: Item) -> dict[str, bool]:
        state, accepted = State[record["state"]], self.accepted.get(sent.device, 0)
        has_ended, published = state.is_final, self.published.get(sent.message_id, {})
        ends = {State.SENT, state} if state.is_sent else {state}
        return {
            "has no end": not has_ended,
            "was sent and never accepted": state.is_sent and not accepted,
            "was accepted twice and does not say so": accepted > 1 and not record.get("possiblyDuplicated"),
            "was accepted and its record rules that out": bool(accepted)
            and not state.is_sent
            and not record.get("unsettled"),
            "has other ends in its events": has_ended and published.keys() != ends,
            "has an end with several ids": any(len(ids) > 1 for ids in published.values()),
        }


def records(stack: LocalStack) -> dict[str, Item]:
    """Return all items of the table, by their keys."""
    pages = stack.aws.client("dynamodb").get_paginator("scan").paginate(TableName=stack.outputs["MessagesTableName"])
    value = TypeDeserializer().deserialize
    items = ({name: value(typed) for name, typed in item.items()} for page in pages for item in page["Items"])
    return {item["messageId"]: item for item in items}
