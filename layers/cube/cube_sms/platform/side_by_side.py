"""Calls that are made side by side."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class SideBySide:
    """Makes calls in threads of its own, and a single one in the caller's. Safe to share between threads.

    Parameters
    ----------
    threads : int
        The most calls at the same time.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads)

    def each[Item, Result](self, call: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Make a call for each item, and return all results when all are over.

        Parameters
        ----------
        call : Callable[[Item], Result]
            What is called. What it raises is passed on.
        items : sequence of Item
            What it is called with.

        Returns
        -------
        list of Result
            One for each item.

        Examples
        --------
        >>> SideBySide(2).each(abs, [-1, 2, -3])
        [1, 2, 3]
        """
        if len(items) == 1:
            return [call(items[0])]
        return list(self._pool.map(call, items))

    def begin[Item, Result](
        self, call: Callable[[Item], Result], items: Sequence[Item], *, seconds: float
    ) -> list[Future[Result]]:
        """Make a call for each item, and return when all are over, or after so many seconds.

        Parameters
        ----------
        call : Callable[[Item], Result]
            What is called.
        items : sequence of Item
            What it is called with.
        seconds : float
            How long to wait, if there are several.

        Returns
        -------
        list of Future
            One for each item. Those that are not done may be under way, or can be cancelled.

        Examples
        --------
        >>> [future.result() for future in SideBySide(2).begin(abs, [-1, 2, -3], seconds=10)]
        [1, 2, 3]
        """
        if len(items) == 1:
            return [_called(call, items[0])]
        futures = [self._pool.submit(call, item) for item in items]
        wait(futures, seconds)
        return futures


def _called[Item, Result](call: Callable[[Item], Result], item: Item) -> Future[Result]:
    future = Future[Result]()
    try:
        future.set_result(call(item))
    except Exception as error:  # noqa: BLE001 - the future raises it
        future.set_exception(error)
    try:
        return future
    finally:
        # The error's traceback would hold it, and it holds the error: what they hold would live for long.
        del future
