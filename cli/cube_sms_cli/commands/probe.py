"""How the provider wants to be signed: `probe`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cube_sms.request import is_device_id
from cube_sms_cli.errors import Exit, OperatorError
from cube_sms_cli.options import Operator, command, ends
from cube_sms_cli.output import table
from cube_sms_cli.probing import conclude, could_exist, make_probe, run

if TYPE_CHECKING:
    from cube_sms_cli.probing import Probe, Result

_DEVICE = "--device"

NO_DEVICE = "Name a device that cannot exist: its refusal shows a right signature. A device that exists gets messages."


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(command(probe))


@ends(done="the stack signs as Cube wants", fault="it does not, or the answers of Cube leave that open")
def probe(
    operator: Operator,
    account: Annotated[str, typer.Argument(help="Whose credentials sign.")],
    device: Annotated[
        str | None, typer.Option(help="A device that cannot exist, such as an ICCID with a wrong check digit.")
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(metavar="FORM", help="Show a form's text to sign and signature; send nothing."),
    ] = None,
) -> None:
    """Find out how Cube wants an account's requests signed, without sending a message to anybody.

    Each form in doubt is tried with a device that cannot exist. Cube refuses a right signature for the device, and a
    wrong one for itself. It takes 5 to 12 requests, which count for the limits of this machine's address.

    Example: cube-sms probe default --device 89314404000939952299
    """
    made = make_probe(operator.stack, account, impossible(device))
    if explain:
        _explain(operator, made, explain)
        return
    operator.out.note("Each request counts for the limits of this machine's address at Cube, not for the stack's gate.")
    results = run(made, note=lambda trial: operator.out.note(f"{trial.name}: {trial.about}"))
    found = conclude(results, operator.stack.parameters)
    operator.out.answer(
        {
            "account": account,
            "dialect": made.dialect,
            "forms": [_as_data(each) for each in results],
            "settings": found.settings,
            "fits": found.fits,
            "conclusions": found.sentences,
        },
        table(
            ["Form", "What", "HTTP", "Code", "Cube's words", ""],
            [[*list(_as_data(each).values())[:5], each.verdict] for each in results],
        ),
        *found.sentences,
    )
    if not found.fits:
        raise typer.Exit(Exit.FAULT)


def impossible(device: str | None) -> str:
    """Return a device that cannot exist, or refuse one that could."""
    if not device:
        raise typer.BadParameter(NO_DEVICE, param_hint=_DEVICE)
    if not is_device_id(device):
        raise typer.BadParameter("It must have 1 to 64 characters of 0-9, A-Z and a-z.", param_hint=_DEVICE)
    if could_exist(device):
        raise typer.BadParameter(
            f"A SIM could have this number: its last digit fits the others. Take {_spoiled(device)}.",
            param_hint=_DEVICE,
        )
    return device


def _spoiled(device: str) -> str:
    return f"{device[:-1]}{(int(device[-1]) + 1) % 10}"


def _explain(operator: Operator, made: Probe[Any], name: str) -> None:
    first = made.first()
    trials = {trial.name: trial for trial in [*first, *made.then([each for each in first if not each.flaw])]}
    if name not in trials:
        raise OperatorError(f"There is no form {name}. There are {', '.join(trials)}.")
    text, signature = made.explain(trials[name])
    operator.out.answer(
        {"form": name, "about": trials[name].about, "text": text, "signature": signature},
        f"{name}: {trials[name].about}",
        f"Text to sign: {text}",
        f"Signature:    {signature}",
    )


def _as_data(result: Result) -> dict[str, Any]:
    trial, answer, verdict = result
    return {
        "form": trial.name,
        "about": trial.about,
        "status": answer.status,
        "code": answer.code,
        "words": answer.words,
        "verdict": verdict.value,
    }
