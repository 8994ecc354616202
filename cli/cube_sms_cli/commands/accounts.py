"""The accounts in the stack's secret: list, add, check, rotate, remove."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from cube_sms.provider import MAX_AGE
from cube_sms.request import ACCOUNT_FORM, is_account
from cube_sms_cli.acceptance import check_accepted, is_accepted_since
from cube_sms_cli.accounts import Accounts, Version
from cube_sms_cli.asking import confirm
from cube_sms_cli.commands.probe import impossible
from cube_sms_cli.credentials import ask, fault_of, lengths, without_credentials
from cube_sms_cli.errors import Exit, OperatorError
from cube_sms_cli.options import Operator, command, ends
from cube_sms_cli.output import printable, table

Name = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Which account.")]
PrivateKey = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The key in PEM form, of an account that has one (Cube v4).")
]

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(no_args_is_help=True)
    for body in (list_, check, add, rotate, remove):
        group.command(body.__name__.rstrip("_"))(command(body))
    app.add_typer(group, name="account", help="The accounts in the stack's secret. Nothing shows a credential.")


def list_(operator: Operator) -> None:
    """List the accounts, with the length of each of their credentials.

    Example: cube-sms account list
    """
    accounts = _accounts(operator)
    kept = accounts.kept()
    found = {name: lengths(entry) for name, entry in sorted(accounts.read().entries.items())}
    rows = [(name, _told(each), "yes" if name in kept else "no") for name, each in found.items()]
    operator.out.answer(
        [{"account": name, "lengths": each, "keepsPrevious": name in kept} for name, each in found.items()],
        table(["Account", "Characters", "Previous kept"], rows),
    )


@ends(fault="the functions cannot use the credentials of an account")
def check(
    operator: Operator, names: Annotated[list[str] | None, typer.Argument(metavar="[ACCOUNT…]", help="Which.")] = None
) -> None:
    """Check whether the functions can use what the secret holds for each account, or for some.

    Whether Cube takes it is what `cube-sms probe` finds out.

    Example: cube-sms account check fleet
    """
    entries = _accounts(operator).read().entries
    results = [
        {"account": name, "fault": fault_of(entries[name]) if name in entries else "it is not in the secret"}
        for name in names or sorted(entries)
    ]
    rows = [(each["account"], each["fault"] or "ok") for each in results]
    operator.out.answer(results, table(["Account", "Result"], rows))
    if not results:
        operator.out.fault("The secret holds no account. Store one: cube-sms account add default.")
    if not results or any(each["fault"] for each in results):
        raise typer.Exit(Exit.FAULT)


def add(
    operator: Operator,
    name: Name,
    *,
    private_key: PrivateKey = None,
    anew: Annotated[bool, typer.Option("--anew", help="Discard everything in the secret first.")] = False,
    yes: Yes = False,
) -> None:
    """Store the credentials of a new account. The others stay as they are.

    It asks for them without an echo. In a pipe it takes them as JSON from standard input. With `--anew` it first asks
    whether to discard the others, and in a pipe it needs `--yes`.

    Example: cube-sms account add fleet
    """
    _check_name(name)
    accounts = _accounts(operator)
    before = accounts.read(anew=anew)
    if anew:
        _confirm_discard(before, is_sure=yes)
    elif name in before.entries:
        raise OperatorError(f"There is an account {name} already. For new credentials: cube-sms account rotate {name}.")
    entry = ask(private_key)
    accounts.write(before, {**({} if anew else before.entries), name: entry})
    for account, version in accounts.kept().items() if anew else ():
        accounts.let_go(account, version)
    _tell_stored(operator, name, lengths(entry))


@ends(
    fault="with --device, Cube refuses the credentials",
    waiting="with --finish, the logs show no message yet that Cube accepted with the new credentials",
)
def rotate(
    operator: Operator,
    name: Name,
    *,
    private_key: PrivateKey = None,
    device: Annotated[
        str | None,
        typer.Option(help="Ask Cube first whether it takes them, as `probe` does: a device that cannot exist."),
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="End the rotation, if Cube has accepted a message since.")
    ] = False,
    back: Annotated[bool, typer.Option("--back", help="Restore the previous credentials.")] = False,
) -> None:
    """Store new credentials of an account, and keep the previous ones until Cube has accepted the new ones.

    Functions use them within five minutes, and at once if Cube refuses the old ones. With `--device`, Cube is asked
    first, and what it refuses is not stored.

    Example: cube-sms account rotate fleet
    """
    if finish + back + bool(device) > 1:
        raise typer.BadParameter("give one of --finish, --back and --device")
    probed = impossible(device) if device else None
    accounts = _accounts(operator)
    before, kept = accounts.read(), accounts.kept()
    if name not in before.entries:
        raise OperatorError(f"There is no account {printable(name)}. Store it: cube-sms account add NAME.")
    if (finish or back) and name not in kept:
        raise OperatorError(f"{name} has no previous credentials: there is no rotation to end.")
    if finish:
        _finish(operator, accounts, name)
    elif back:
        old = accounts.previous(name).entries[name]
        accounts.write(before, {**before.entries, name: old})
        accounts.let_go(name, kept[name])
        _tell_stored(operator, name, lengths(old))
    else:
        asked = ask(private_key)
        if probed:
            check_accepted(operator.stack, asked, probed)
        entry = without_credentials(before.entries[name]) | asked
        accounts.write(before, {**before.entries, name: entry})
        if probed and name in kept:
            accounts.let_go(name, kept[name])
        # If the last rotation was never finished, what it had before that one is kept.
        elif not probed and name not in kept and before.id:
            accounts.keep(name, before.id)
        _tell_stored(operator, name, lengths(entry), keeps_previous=not probed)


def remove(operator: Operator, name: Name, *, yes: Yes = False) -> None:
    """Remove an account. A message for it is a dead letter from then on.

    Example: cube-sms account remove fleet
    """
    accounts = _accounts(operator)
    before = accounts.read()
    if name not in before.entries:
        raise OperatorError(f"There is no account {printable(name)}.")
    others = {other: entry for other, entry in before.entries.items() if other != name}
    if not any(isinstance(entry, dict) for entry in others.values()):
        raise OperatorError(f"{name} is the only account, and sending needs one. Add another one first.")
    confirm(f"Remove {name}?", is_sure=yes)
    accounts.write(before, others)
    if version := accounts.kept().get(name):
        accounts.let_go(name, version)
    operator.out.answer({"account": name, "removed": True}, f"{name} is removed.")


def _finish(operator: Operator, accounts: Accounts, name: str) -> None:
    """Keep the previous credentials of an account no longer, if Cube has accepted the new ones."""
    # Later, no function has the old ones any more.
    made_at = accounts.read().made_at or datetime.now(UTC)
    since = made_at + timedelta(seconds=MAX_AGE)
    if not is_accepted_since(operator.stack, name, since):
        told = (
            f"{name}: no message is logged as sent since {since:%Y-%m-%d %H:%M:%S}Z, when the functions had the new "
            "credentials for certain. The previous ones are kept. Run it again later, or restore them: --back."
        )
        operator.out.answer({"account": name, "accepted": False, "keepsPrevious": True}, told)
        raise typer.Exit(Exit.WAITING)
    accounts.let_go(name, accounts.kept()[name])
    told = f"{name}: Cube has accepted the new credentials. The previous ones are no longer kept."
    operator.out.answer({"account": name, "accepted": True, "keepsPrevious": False}, told)


def _confirm_discard(before: Version, *, is_sure: bool) -> None:
    """Ask whether to discard what the secret holds, if it holds anything."""
    if before.holds_other:
        confirm("Discard what the secret holds, which is no JSON object of accounts?", is_sure=is_sure)
    elif before.entries:
        confirm(f"Discard {', '.join(map(printable, sorted(before.entries)))}?", is_sure=is_sure)


def _accounts(operator: Operator) -> Accounts:
    return Accounts(operator.stack.client("secretsmanager"), operator.stack.output("CubeSecretId"))


def _check_name(name: str) -> None:
    if not is_account(name):
        raise typer.BadParameter(f"{printable(name)!r} can be no account: {ACCOUNT_FORM}")


def _tell_stored(operator: Operator, name: str, stored: dict[str, int], *, keeps_previous: bool = False) -> None:
    kept = f"The previous credentials are kept until: cube-sms account rotate {name} --finish (or --back)."
    operator.out.answer(
        {"account": name, "lengths": stored, "keepsPrevious": keeps_previous},
        f"{name} is stored: {_told(stored)} characters.",
        *[kept] * keeps_previous,
    )


def _told(stored: dict[str, int]) -> str:
    return ", ".join(f"{field} {length}" for field, length in stored.items())
