"""The conclusions of a probe, for an operator: what to set, and what stays unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .verdict import Result

NO_SETTING = "cube-sms has no setting for it. Open an issue with this table."

UNTOLD = (
    "No conclusion is possible: Cube refuses every form as it refuses a wrong signature ({seen}). The account's secret "
    "may be wrong, or the account unknown. Cube may refuse before it checks the signature: ask the provider whether "
    "this machine's address is allowed, or whether Cube looks up the device first. (The functions may have another "
    "address.) Or Cube needs a form that is not tried here."
)


class Conclusions(NamedTuple):
    """What a probe has found out.

    Parameters
    ----------
    sentences : list of str
        What was found, and what to do.
    settings : dict
        The template's parameters, with the values that Cube needs, if the probe has found them out.
    fits : bool
        Whether all was tried, and the functions sign as Cube wants.
    """

    sentences: list[str]
    settings: dict[str, str]
    fits: bool


def conclude(results: Sequence[Result], parameters: Mapping[str, str]) -> Conclusions:
    """Return what the results of a probe mean for a stack.

    Parameters
    ----------
    results : sequence of Result
        What `judge` returned.
    parameters : Mapping[str, str]
        The stack's parameters.
    """
    forms = [each for each in results if each.trial.flaw is None]
    good = [each for each in forms if each.verdict.is_good]
    accepted = next((each for each in results if each.verdict is Verdict.ACCEPTED), None)
    if not good:
        return Conclusions([*_accepted(accepted), _untold(forms)], {}, fits=False)
    # Of several forms that pass, the one that the stack has comes first, or else the first one that it can have.
    good.sort(key=lambda each: (not each.trial.has_setting, _differ(each, parameters)))
    settings = dict(next((each.trial.settings for each in good if each.trial.settings), {}))
    # A doubt about some texts only is reported separately.
    best = next((each for each in good if not each.trial.doubt), good[0])
    complaints = [*_refused(best, forms)]
    sentences = [*_accepted(accepted), *_settings(settings, parameters), *complaints]
    fits = not accepted and not complaints and not _differ_from(settings, parameters)
    return Conclusions(sentences, settings, fits)


def _differ(result: Result, parameters: Mapping[str, str]) -> bool:
    return _differ_from(result.trial.settings, parameters)


def _differ_from(settings: Mapping[str, str], parameters: Mapping[str, str]) -> bool:
    return any(parameters.get(name) != value for name, value in settings.items())


def _accepted(accepted: Result | None) -> Iterator[str]:
    if accepted:
        yield (
            f"Cube accepted the message of {accepted.trial.name}: the form passes, and the device may exist. Nothing "
            "else was sent. Choose a device that cannot exist."
        )


def _settings(settings: Mapping[str, str], parameters: Mapping[str, str]) -> Iterator[str]:
    for name, value in settings.items():
        if parameters.get(name) == value:
            yield f"{name}={value} is right, and the stack has it."
        else:
            yield f"Deploy with {name}={value}: the stack has {parameters.get(name) or 'none'}, which Cube refuses."


def _refused(best: Result, forms: Sequence[Result]) -> Iterator[str]:
    """Yield what Cube refuses of what the functions sign."""
    if not best.trial.has_setting:
        yield f"Cube wants: {best.trial.about}. {NO_SETTING}"
    doubts: dict[str, list[Result]] = {}
    for each in forms:
        if each.trial.doubt:
            doubts.setdefault(each.trial.doubt, []).append(each)
    for doubt, tried in doubts.items():
        good = [each for each in tried if each.verdict.is_good]
        if not good:
            yield f"Cube refuses {doubt} in each form that was tried: messages with them will be rejected. {NO_SETTING}"
        elif not any(each.trial.has_setting for each in good):
            yield f"Cube wants: {good[0].trial.about}. {NO_SETTING}"


def _untold(forms: Sequence[Result]) -> str:
    verdicts = {each.verdict for each in forms}
    if verdicts <= {Verdict.SIGNATURE, Verdict.REFUSED}:
        seen = ", ".join(sorted({_shown(each) for each in forms}))
        return UNTOLD.format(seen=seen)
    if Verdict.CLOCK in verdicts:
        return (
            "A signature passes, but Cube refuses the request as it refuses one that is an hour old. Is this machine's "
            "clock right (`cube-sms doctor`)? Or Cube ignores the time, and refuses both for the device."
        )
    return "No conclusion is possible: Cube gave no answer of its own to any form. Try again later."


def _shown(result: Result) -> str:
    answer = result.answer
    return f"HTTP {answer.status}, code {answer.code}" if answer.code else f"HTTP {answer.status}"
