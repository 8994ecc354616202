"""The signature of calls to a service of AWS, for half the instructions of botocore's signer."""

from __future__ import annotations

import hmac
from functools import reduce
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from botocore.auth import SIGNED_HEADERS_BLACKLIST, SigV4Auth

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials


class Signer(SigV4Auth):
    """botocore's signer, for requests that post bytes to the root of a service.

    It derives the key once a day. Headers are a dictionary here, and the path is a constant.

    Parameters
    ----------
    credentials : ReadOnlyCredentials
        Who signs.
    service, region : str
        The scope of the signature.
    """

    def __init__(self, credentials: ReadOnlyCredentials, service: str, region: str) -> None:
        super().__init__(credentials, service, region)
        self._scope = (region, service, "aws4_request")
        self._key = ("", b"")

    def headers_to_sign(self, request: Any) -> Any:
        """Return the headers that the signature covers, by their names in small letters."""
        named = ((name.lower(), value) for name, value in request.headers.items())
        return {name: value for name, value in named if name not in SIGNED_HEADERS_BLACKLIST}

    def canonical_headers(self, headers_to_sign: Any) -> str:
        """Return these headers as they are signed."""
        return "\n".join(f"{name}:{' '.join(headers_to_sign[name].split())}" for name in sorted(headers_to_sign))

    def signed_headers(self, headers_to_sign: Any) -> str:
        """Return the names of these headers."""
        return ";".join(sorted(headers_to_sign))

    def canonical_request(self, request: Any) -> str:
        """Return the request as it is signed."""
        headers = self.headers_to_sign(request)
        canonical, named = self.canonical_headers(headers), self.signed_headers(headers)
        return f"POST\n/\n\n{canonical}\n\n{named}\n{sha256(request.body).hexdigest()}"

    def signature(self, string_to_sign: str, request: Any) -> str:
        """Return the signature of a text, in hexadecimal digits."""
        day, key = self._key
        if day != (today := request.context["timestamp"][:8]):
            key = reduce(_digest, (today, *self._scope), f"AWS4{self.credentials.secret_key}".encode())
            self._key = (today, key)
        return _digest(key, string_to_sign).hex()


def _digest(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
