"""What runs until it is stopped, or until its context ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Stoppable(ABC):
    """A context whose end is `stop`."""

    @abstractmethod
    def stop(self) -> object:
        """Stop it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
