"""The credentials of an account that uses csss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from cube_sms.provider.base import Credentials
from cube_sms.provider.fields import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class CsssCredentials(Credentials):
    """An access code and its secret.

    Parameters
    ----------
    access_code : str
        The partner code, such as "P002276".
    secret : str
        The signing secret. Not shown by ``repr``.
    """

    FIELDS: ClassVar = ("access_code", "secret")

    access_code: str
    secret: str = field(repr=False)

    @classmethod
    def from_entry(cls, entry: Mapping[str, object], version: int) -> Self:
        """Read the entry of an account in the secret: see `cube_sms.provider.base.Credentials`."""
        return cls(text_of(entry, "access_code"), text_of(entry, "secret"), version=version)

    @property
    def hidden(self) -> tuple[str, ...]:
        """The values that are masked if the provider quotes them."""
        return self.secret, self.access_code
