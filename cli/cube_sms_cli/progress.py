"""How far something is, on standard error: a bar on a terminal, and a line now and then elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .output import Output

# A line follows after so many, if there is no bar.
LINE = 1000


@contextmanager
def progress(out: Output, doing: str) -> Iterator[Callable[[int, int, int], None]]:
    """Show how far a command is with the messages of a queue.

    Parameters
    ----------
    out : Output
        Takes the progress.
    doing : str
        What is done with them, such as "redriven".

    Yields
    ------
    Callable[[int, int, int], None]
        Takes how many were looked at, about how many there are, and with how many it was done.
    """
    console = out.progress_console
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"0 {doing}", total=None)

        def tell(looked_at: int, of: int, done: int) -> None:
            bar.update(task, completed=looked_at, total=max(of, looked_at), description=f"{done} {doing}")
            if done % LINE == 0 and not console.is_terminal:
                out.note(f"{done} {doing} …")

        yield tell
