"""The provider: how to make one query, and its possible results."""

from __future__ import annotations

from .base import (
    Credentials,
    CredentialsError,
    CubeAnswer,
    CubeError,
    CubeOutcomeUnknown,
    CubeRejected,
    CubeUnavailable,
    Heard,
    Line,
    Listing,
    ListPage,
    Lists,
    Provider,
    Query,
    Receipt,
    UnknownAccountError,
)
from .credentials import MAX_AGE, CredentialStore, Members, read_accounts
from .dialects import DIALECTS, AnyCredentials, AnyProvider, make_provider, read_credentials

__all__ = [
    "DIALECTS",
    "MAX_AGE",
    "AnyCredentials",
    "AnyProvider",
    "CredentialStore",
    "Credentials",
    "CredentialsError",
    "CubeAnswer",
    "CubeError",
    "CubeOutcomeUnknown",
    "CubeRejected",
    "CubeUnavailable",
    "Heard",
    "Line",
    "ListPage",
    "Listing",
    "Lists",
    "Members",
    "Provider",
    "Query",
    "Receipt",
    "UnknownAccountError",
    "make_provider",
    "read_accounts",
    "read_credentials",
]
