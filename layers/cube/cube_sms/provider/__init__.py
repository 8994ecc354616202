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
    Query,
    UnknownAccountError,
)
from .credentials import CredentialStore
from .dialects import AnyCredentials, AnyProvider, make_provider

__all__ = [
    "AnyCredentials",
    "AnyProvider",
    "CredentialStore",
    "Credentials",
    "CredentialsError",
    "CubeAnswer",
    "CubeError",
    "CubeRejected",
    "CubeUnavailable",
    "Line",
    "Provider",
    "Query",
    "UnknownAccountError",
    "make_provider",
]
