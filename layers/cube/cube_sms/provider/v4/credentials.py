"""The credentials with which an account that uses v4 signs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from cube_sms.provider.base import Credentials
from cube_sms.provider.fields import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_FORM = "private_key must be an RSA key in PEM form (-----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----)"


@dataclass(frozen=True, slots=True)
class V4Credentials(Credentials):
    """The id of a key, and the key.

    Parameters
    ----------
    key_id : str
        The provider's name for the key.
    pem : str
        The key, as it is in the secret. Not shown by ``repr``.
    private_key : RSAPrivateKey
        The key.
    """

    FIELDS: ClassVar = ("key_id", "private_key")

    key_id: str
    # What is compared: a key of `cryptography` equals no other.
    pem: str = field(repr=False)
    private_key: RSAPrivateKey = field(repr=False, compare=False)

    @classmethod
    def from_entry(cls, entry: Mapping[str, object], version: int) -> Self:
        """Read the entry of an account in the secret: see `cube_sms.provider.base.Credentials`."""
        key_id, pem = text_of(entry, "key_id"), entry.get("private_key")
        if not key_id.isascii() or " " in key_id:
            raise ValueError("key_id must be ASCII without spaces: it goes into a header")
        if not isinstance(pem, str) or not pem:
            raise ValueError("private_key must be a string")
        return cls(key_id, pem, _read(pem), version=version)

    @property
    def hidden(self) -> tuple[str, ...]:
        """The parts that are hidden if the provider quotes them."""
        return (self.key_id,)


def _read(pem: str) -> RSAPrivateKey:
    # Imported late: only accounts that use v4 need it.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise ValueError(f"{_FORM}, not encrypted with a password") from None
    except (ValueError, UnsupportedAlgorithm):
        # The error may quote what it could not read.
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(_FORM)
    return key
