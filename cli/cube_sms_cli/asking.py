"""Questions to the operator. They go to standard error, so that an answer in JSON stays one."""

from __future__ import annotations

import typer


def confirm(question: str, *, is_sure: bool) -> None:
    """Ask whether to go on, unless the operator has said so already.

    Parameters
    ----------
    question : str
        What will happen.
    is_sure : bool
        Whether ``--yes`` was given.

    Raises
    ------
    typer.Abort
        If the answer is no, or there is none.
    """
    if not is_sure:
        typer.confirm(question, abort=True, err=True)
