"""Errors and codes: what each means, what happens with the message, and what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

from cube_sms.campaigns import InvalidCampaignError
from cube_sms.delivery import State
from cube_sms.delivery.asks import telling
from cube_sms.pacing.errors import GateClosedError, GateReason, NotNowError
from cube_sms.platform import Obstacle
from cube_sms.platform.errors import POLICY
from cube_sms.provider import CubeError
from cube_sms.replies.refusals import Refusal

from .answers import of_cube, problems
from .docstrings import attribute_docs, meaning, modules
from .markdown import PROJECT, code, prose, section, table

if TYPE_CHECKING:
    from collections.abc import Iterator

_GATE = {"nothing": "", "opens": "opens", "counts": "counts against it", "closes": "closes"}


def errors() -> str:
    """Return all errors and codes."""
    kinds = obstacles()
    return (
        section(
            "Errors of a message",
            table(
                ["error", "meaning", "the message", "what to do"],
                [[code(kind.__name__), meaning(kind), _fate(kind), prose(kind.remedy)] for kind in kinds],
            ),
        )
        + section(
            "Where an error shows",
            table(
                ["error", "answer of the API", "metric", "gate", "gate of the account"],
                [
                    [code(kind.__name__), _answer(kind), _metric(kind), _GATE[kind.gate], _GATE[kind.account]]
                    for kind in kinds
                ],
            ),
        )
        + section("Reasons of a closed gate", table(["reason", "text", "answer of the API"], _reasons()))
        + section("Reasons of dead letters", table(["reason of", "from", "what to do"], _dead_letters(kinds)))
        + section("Errors of Step Functions", table(["error", "meaning"], _tasks(kinds)))
        + of_cube()
        + problems(kinds)
        + section("Refused callbacks", table(["what", "answer", "reason in the log", "metric"], _refusals()))
        + section("Other errors", table(["error", "meaning"], _others()))
    )


def obstacles() -> list[type[Obstacle]]:
    """Return the errors of a message, by package and name."""
    found = [kind for kind in _classes(Obstacle) if all(hasattr(kind, name) for name in POLICY)]
    return sorted(found, key=lambda kind: (kind.__module__, kind.__name__))


def _classes[T](base: type[T]) -> set[type[T]]:
    """Return all classes of the layer below a class."""
    modules()
    below = {each for kind in base.__subclasses__() for each in (kind, *_classes(kind))}
    return {kind for kind in below if kind.__module__.startswith("cube_sms.")}


def _fate(kind: type[Obstacle]) -> str:
    """Return what happens with the message."""
    if kind.state is None:
        return f"A dead letter, if it is from the queue: {code(kind.letter)}."
    fate = f"{code(kind.state)}."
    if issubclass(kind, NotNowError):
        fate += " On the queue it waits, and no attempt counts."
    elif kind.state == State.RETRYING and issubclass(kind, CubeError):
        fate += f" After the last attempt {code(State.FAILED)}."
    if kind.outcome == "unknown":
        fate += f" With `at-most-once` {code(State.UNKNOWN)}."
    if kind.renews_credentials:
        fate += " Before that, one more POST with credentials that were read again."
    if kind.is_of_recipients:
        fate += " A group is divided, until each refused message is alone."
    return fate


def _answer(kind: type[Obstacle]) -> str:
    return f"{kind.answer.status} {kind.answer.title}" + (", `Retry-After`" if kind.answer.is_later else "")


def _metric(kind: type[Obstacle]) -> str:
    if kind.metric:
        return code(kind.metric.name)
    return code(State[kind.state].metric.name) if kind.state else ""


def _reasons() -> Iterator[list[str]]:
    for reason in get_args(GateReason.__value__):
        error = GateClosedError(reason, 0.0)
        yield [code(reason), str(error), f"{error.answer.status} {error.answer.title}, `Retry-After`"]


def _dead_letters(kinds: list[type[Obstacle]]) -> Iterator[list[str]]:
    for kind in kinds:
        if kind.letter:
            yield [code(kind.letter), code(kind.__name__), prose(kind.remedy)]
    for state in State:
        if state.letter:
            remedies = [prose(kind.remedy) for kind in kinds if kind.state == state and "answer" in vars(kind)]
            yield [code(state.letter), code(state), " ".join(remedies) or prose("See docs/runbook.md#dead-letters.")]


def _tasks(kinds: list[type[Obstacle]]) -> Iterator[list[str]]:
    """Yield the errors with which a task or a campaign's execution ends.

    Raises
    ------
    ValueError
        If a state machine catches another one.
    """
    states = attribute_docs(State)
    found = {
        **{state.title(): states[state] for state in State if state.is_final and not state.is_sent},
        **{kind.letter: meaning(kind) for kind in kinds if kind.letter},
        telling.NO_REPLY: attribute_docs(telling)["NO_REPLY"],
        "InvalidCampaign": meaning(InvalidCampaignError),
    }
    machines = [path.read_text("utf-8") for path in (PROJECT / "statemachine").glob("*.json")]
    if unknown := {name for text in machines for name in re.findall(r"CubeSms\.(\w+)", text)} - found.keys():
        raise ValueError(f"State machines know of errors that nothing raises: {', '.join(sorted(unknown))}")
    for name, text in found.items():
        yield [code(f"CubeSms.{name}"), text]


def _refusals() -> Iterator[list[str]]:
    for refusal in Refusal:
        yield [refusal.answer.detail, str(refusal.answer.status), code(refusal.reason), code(refusal.metric.name)]


def _others() -> Iterator[list[str]]:
    found = {kind for kind in _classes(Exception) if not issubclass(kind, Obstacle)}
    for kind in sorted(found, key=lambda kind: kind.__name__):
        yield [code(kind.__name__), meaning(kind)]
