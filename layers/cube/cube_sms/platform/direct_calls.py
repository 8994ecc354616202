"""Calls of AWS for a third of the CPU that they take boto3's clients (docs/decisions.md).

Two writes a message took three quarters of a message's CPU. In most of that time botocore worked out what is the same
for all calls: endpoint, user agent, the shapes of request and answer. Here that is worked out once. All decisions stay
botocore's: address and credentials, the signature, the errors, and whether and when a call is tried again. The client's
events stay too, so their listeners, such as its retries, notice these calls.
"""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import msgspec
import urllib3
from botocore import xform_name
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import HTTPClientError
from botocore.hooks import first_non_none_response
from botocore.parsers import create_parser

from .tls import default_ssl_context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.client import BaseClient
    from botocore.credentials import Credentials

# Variables that make botocore connect in a way of their own.
_DETOURS = frozenset({"AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_CONFIG_FILE"})


class _Answer(NamedTuple):
    """As much of botocore's answer as is looked at."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


def call_directly(
    client: BaseClient, credentials: Credentials | None, operations: set[str], environment: Mapping[str, str]
) -> None:
    """Make some of a client's methods direct calls, unless it connects in one of the rarer ways.

    Parameters
    ----------
    client : BaseClient
        boto3's client of a service with a JSON protocol.
    credentials : Credentials or None
        Those of its session.
    operations : set of str
        Which, by their names in the service. Their answers are the JSON members: times stay numbers, bytes Base64.
    environment : Mapping[str, str]
        Such as ``os.environ``.
    """
    config: Any = client.meta.config
    url = client.meta.endpoint_url
    is_plain = (
        config.signature_version == "v4"
        and config.account_id_endpoint_mode != "required"
        and urlsplit(url).path in ("", "/")
        and not (getproxies() or _DETOURS & environment.keys())
    )
    if not credentials or not is_plain:
        return
    # One context for all connections, those to Cube too: reading the certificates takes longer than many messages.
    tls = {"ssl_context": default_ssl_context()} if url.startswith("https:") else {}
    timeout = urllib3.Timeout(connect=config.connect_timeout, read=config.read_timeout)
    pool = urllib3.connection_from_url(url, timeout=timeout, maxsize=config.max_pool_connections, **tls)
    for operation in operations:
        setattr(client, xform_name(operation), DirectCall(client, credentials, operation, pool))


class _Request(AWSPreparedRequest):
    """A request that can be signed as it is: signing botocore's `AWSRequest` takes half as much again."""

    params = None


class DirectCall:
    """One operation of a service. Safe to share between threads.

    Parameters
    ----------
    client : BaseClient
        boto3's client.
    credentials : Credentials
        botocore's, which know when they have to be fetched again.
    operation : str
        Its name in the service.
    pool : HTTPConnectionPool
        Connections to the service.
    """

    def __init__(
        self, client: BaseClient, credentials: Credentials, operation: str, pool: urllib3.HTTPConnectionPool
    ) -> None:
        meta: Any = client.meta
        service = meta.service_model
        self._exceptions = client.exceptions
        self._events = meta.events
        self._credentials = credentials
        self._operation = service.operation_model(operation)
        self._event = f"{service.service_id.hyphenize()}.{operation}"
        self._scope = (service.signing_name, meta.region_name)
        self._url: str = meta.endpoint_url.rstrip("/") + "/"
        self._pool = pool
        self._parser = create_parser("json")
        self._headers = {
            "Content-Type": f"application/x-amz-json-{service.metadata['jsonVersion']}",
            "Host": urlsplit(self._url).netloc,
            "User-Agent": meta.config.user_agent,
            "X-Amz-Target": f"{service.metadata['targetPrefix']}.{operation}",
        }

    def __call__(self, **parameters: Any) -> Any:
        """Make the call, with the client's parameters, answer and errors."""
        context: dict[str, Any] = {}
        request = {
            "url": self._url,
            "headers": self._headers.copy(),
            "body": msgspec.json.encode(parameters),
            "context": context,
        }
        _, response = self._events.emit_until_response(
            f"before-call.{self._event}",
            model=self._operation,
            params=request,
            request_signer=None,
            context=context,
        )
        try:
            answer, parsed = response or self._send(request)
        except Exception as error:
            self._events.emit(f"after-call-error.{self._event}", exception=error, context=context)
            raise
        self._events.emit(
            f"after-call.{self._event}",
            http_response=answer,
            parsed=parsed,
            model=self._operation,
            context=context,
        )
        if answer.status_code >= 300:
            kind: Any = self._exceptions.from_code(parsed["Error"]["Code"])
            raise kind(parsed, self._operation.name)
        return parsed

    def _send(self, request: dict[str, Any]) -> Any:
        attempts = 0
        while True:
            attempts += 1
            response, failure = self._try(request)
            answers = self._events.emit(
                f"needs-retry.{self._event}",
                response=response,
                endpoint=None,
                operation=self._operation,
                attempts=attempts,
                caught_exception=failure,
                request_dict=request,
            )
            pause = first_non_none_response(answers)
            if pause is None or pause is False:
                break
            time.sleep(pause)
        if failure:
            raise failure
        return response

    def _try(self, request: dict[str, Any]) -> tuple[Any, Exception | None]:
        """Return the answer with what it says, or why there is none."""
        try:
            answer = self._answer(request)
            return (answer, self._parse(answer)), None
        except Exception as error:  # noqa: BLE001 - the client's retries know what it means
            return None, error

    def _answer(self, request: dict[str, Any]) -> _Answer:
        body = request["body"]
        prepared: Any = _Request("POST", self._url, request["headers"].copy(), body, False, context={})
        SigV4Auth(self._credentials.get_frozen_credentials(), *self._scope).add_auth(prepared)
        answers = self._events.emit(f"before-send.{self._event}", request=prepared)
        answer: _Answer | None = first_non_none_response(answers)
        return self._post(prepared.headers, body) if answer is None else answer

    def _post(self, headers: dict[str, str], body: bytes) -> _Answer:
        try:
            answer = self._pool.urlopen("POST", "/", body, headers, retries=False, redirect=False)
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
            raise HTTPClientError(error=error) from error
        return _Answer(answer.status, answer.headers, answer.data)

    def _parse(self, answer: _Answer) -> dict[str, Any]:
        if answer.status_code == 200:
            try:
                return msgspec.json.decode(answer.content, type=dict[str, Any])
            except msgspec.MsgspecError as error:
                raise HTTPClientError(error=error) from error
        # Errors are rare enough for botocore's own parser, and have many forms.
        response = {"status_code": answer.status_code, "headers": answer.headers, "body": answer.content, "context": {}}
        parsed: dict[str, Any] = self._parser.parse(response, self._operation.output_shape)
        shape = self._operation.service_model.shape_for_error_code(parsed["Error"]["Code"])
        return parsed if shape is None else parsed | self._parser.parse(response, shape)
