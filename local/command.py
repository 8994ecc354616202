"""How the commands of the local stack end: in order, with a sentence, whatever happens."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class CommandError(Exception):
    """Why a command cannot do what it was asked for: sentences for the person who asked."""


def run(main: Callable[[], int]) -> int:
    """Run a command and return its exit status.

    The first Ctrl-C, SIGTERM or end of the terminal raises `KeyboardInterrupt` in it, and it stops all it has started.
    Further ones are ignored: they would leave something behind.

    Parameters
    ----------
    main : callable
        The command.

    Returns
    -------
    int
        What the command returns, 1 for a `CommandError`, 130 if it was interrupted.
    """
    for number in _STOPS:
        # What is ignored from the start stays so: nohup does it.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        return main()
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. Everything it had started is stopped.", file=sys.stderr)
        return 130


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let what interrupts a command wait until the end of this context: some calls leave a lock behind otherwise."""
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


def _interrupt(*_: object) -> None:
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
