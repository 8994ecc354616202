"""Calls of the layer's own code on the table of records, whose faults are AWS's here."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cube_sms.platform import RecordsUnavailableError

from .errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def aws_faults() -> Iterator[None]:
    """Report why the table cannot be used, in AWS's words.

    Raises
    ------
    Exception
        What AWS said.
    OperatorError
        If AWS said nothing.
    """
    try:
        yield
    except RecordsUnavailableError as error:
        raise error.__cause__ or OperatorError(f"The table of records cannot be used: {error}. Try again.") from None
