"""The provider: what one query can come to, and what it takes to make one."""

from __future__ import annotations

from .base import (
    Credentials,
    CredentialsError,
    CubeAnswer,
    CubeError,
    CubeRejected,
    CubeUnavailable,
    Line,
    Provider,
    UnknownAccountError,
)
from .credentials import CredentialStore, Members
from .dialects import AnyCredentials, make_provider

__all__ = [
    "AnyCredentials",
    "CredentialStore",
    "Credentials",
    "CredentialsError",
    "CubeAnswer",
    "CubeError",
    "CubeRejected",
    "CubeUnavailable",
    "Line",
    "Members",
    "Provider",
    "UnknownAccountError",
    "make_provider",
]
