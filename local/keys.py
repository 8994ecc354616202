"""Keys of accounts that use v4, as the provider has them: RSA, 1024 bits."""

from __future__ import annotations

from typing import NamedTuple, Self

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

_BITS = 1024
_EXPONENT = 65537


class KeyPair(NamedTuple):
    """A key in PEM form, and what the provider has of it.

    Parameters
    ----------
    private, public : str
        Both halves.
    """

    private: str
    public: str

    @classmethod
    def new(cls) -> Self:
        """Make one."""
        key = generate_private_key(_EXPONENT, _BITS)
        return cls.of(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())

    @classmethod
    def of(cls, private: str) -> Self:
        """Return the pair of a private key in PEM form."""
        public = load_pem_private_key(private.encode(), password=None).public_key()
        return cls(private, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
