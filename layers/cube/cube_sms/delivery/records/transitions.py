"""Which state may follow which: the writes of this package allow these transitions and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cube_sms.delivery.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping

WAITING = frozenset({State.QUEUED, State.RETRYING})
"""The states of a message that has not ended and that no worker has claimed."""

ENDS_OF_CLAIMS = frozenset(
    {State.RETRYING, State.SENT, State.REJECTED, State.EXPIRED, State.FAILED, State.UNKNOWN},
)
"""The states that a claim can end in. Cancellations and receipts change messages that no worker has claimed."""

RECEIPTS = frozenset({State.DELIVERED, State.UNDELIVERED})
"""The states that a receipt leads to, from `State.SENT`."""


def _followers(state: State) -> frozenset[State]:
    """Return the states that may follow a state."""
    found: set[State] = set()
    if state in WAITING or state is State.SENDING or state.can_restart:
        found.add(State.SENDING)
    if state in WAITING:
        found.add(State.CANCELLED)
    if state is State.SENDING:
        found |= ENDS_OF_CLAIMS
    if state is State.SENT:
        found |= RECEIPTS
    return frozenset(found)


TRANSITIONS: Mapping[State | None, frozenset[State]] = {
    None: frozenset({State.QUEUED, State.SENDING, State.CANCELLED}),
    **{state: _followers(state) for state in State},
}
"""The states that may follow each state; None stands for a message without a record."""
