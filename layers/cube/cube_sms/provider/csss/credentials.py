"""What an account that speaks csss signs with."""

from __future__ import annotations

from dataclasses import dataclass, field

from cube_sms.provider.base import Credentials

FIELDS: tuple[str, ...] = ("access_code", "secret")


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

    access_code: str
    secret: str = field(repr=False)
