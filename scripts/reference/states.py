"""The states of messages, of the rows of campaigns, and of campaigns."""

from __future__ import annotations

from cube_sms.campaigns import CampaignStatus, outcomes
from cube_sms.delivery import State
from cube_sms.delivery.records import TRANSITIONS
from scripts.schemas import OUTCOMES

from .docstrings import attribute_docs
from .markdown import code, section, table

_NONE = "no record"


def states() -> str:
    """Return the states, with what may follow each and where it shows."""
    meanings = attribute_docs(State)
    events = {state: name for name, state in OUTCOMES.items()}
    message = table(
        ["state", "meaning", "from", "to", "is final", "event"],
        [
            [
                code(state),
                meanings[state],
                _before(state),
                code(*_sorted(state)),
                _final(state),
                code(events.get(state)),
            ]
            for state in State
        ],
    )
    shown = table(
        [
            "state",
            "answer of `POST /messages`",
            "metric",
            "line of the log",
            "reason of the dead letter",
            "error of a task",
        ],
        [
            [
                code(state),
                f"{state.answer.status} {state.answer.title}",
                code(state.metric.name),
                f"`message {state}`, {state.level.upper()}",
                code(state.letter),
                "" if state.is_sent or not state.is_final else code(f"CubeSms.{state.title()}"),
            ]
            for state in State
        ],
    )
    rows = attribute_docs(outcomes)
    campaigns = attribute_docs(CampaignStatus)
    return (
        section("Messages", message)
        + section("Where a state shows", shown)
        + section(
            "Rows of a campaign", table(["state", "of a row only"], [[code(n), rows[n]] for n in outcomes.ROW_STATES])
        )
        + section(
            "Campaigns",
            table(
                ["status", "meaning and what to do", "is over"],
                [[code(each), campaigns[each], "yes" if each.is_over else ""] for each in CampaignStatus],
            ),
        )
    )


def _sorted(before: State) -> list[State]:
    return [state for state in State if state in TRANSITIONS[before]]


def _before(state: State) -> str:
    found = [code(before) for before in State if state in TRANSITIONS[before]]
    return ", ".join([*([_NONE] if state in TRANSITIONS[None] else []), *found])


def _final(state: State) -> str:
    if not state.is_final:
        return ""
    followers = TRANSITIONS[state]
    if State.SENDING in followers:
        return "until a resumed campaign sends it" if state is State.CANCELLED else "until a redrive"
    return "until its receipt" if followers else "yes"
