"""Calls of AWS for a third of the CPU that they take boto3's clients (docs/decisions.md).

Two writes a message were three quarters of what a message cost. Most of a call was botocore working out anew what is
the same for all of them: endpoint, user agent, the shapes of request and answer. Here that is worked out once. What
decides stays botocore's: where to and as whom, the signature, which errors there are, and whether and when a call is
tried again. The client's events stay too, so that whatever listens to them, its retries first of all, hears of these
calls.
"""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import msgspec
from botocore import xform_name
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import HTTPClientError
from botocore.hooks import first_non_none_response
from botocore.parsers import create_parser

from .kept_connections import KeptConnections
from .signer import Signer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.client import BaseClient
    from botocore.credentials import Credentials

    from .kept_connections import KeptAnswer

# Variables that make botocore connect in a way of their own.
_DETOURS = frozenset({"AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_CONFIG_FILE"})


def call_directly(
    client: BaseClient, credentials: Credentials | None, operations: set[str], environment: Mapping[str, str]
) -> None:
    """Make some of a client's methods direct calls, unless it connects in one of the rarer ways.

    Parameters
    ----------
    client : BaseClient
        boto3's client of a service that speaks JSON.
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
    connections = KeptConnections(
        url,
        connect_timeout=config.connect_timeout,
        read_timeout=config.read_timeout,
        size=config.max_pool_connections,
    )
    for operation in operations:
        setattr(client, xform_name(operation), DirectCall(client, credentials, operation, connections))


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
    connections : KeptConnections
        Those to the service.
    """

    def __init__(
        self, client: BaseClient, credentials: Credentials, operation: str, connections: KeptConnections
    ) -> None:
        meta: Any = client.meta
        service = meta.service_model
        self._exceptions = client.exceptions
        self._events = meta.events
        self._credentials = credentials
        self._operation = service.operation_model(operation)
        self._event = f"{service.service_id.hyphenize()}.{operation}"
        self._scope = (service.signing_name, meta.region_name)
        self._signer: Signer | None = None
        self._url: str = meta.endpoint_url.rstrip("/") + "/"
        self._connections = connections
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

    def _answer(self, request: dict[str, Any]) -> KeptAnswer:
        body = request["body"]
        prepared: Any = _Request("POST", self._url, request["headers"].copy(), body, False, context={})
        self._current_signer().add_auth(prepared)
        answers = self._events.emit(f"before-send.{self._event}", request=prepared)
        answer: KeptAnswer | None = first_non_none_response(answers)
        return self._post(prepared.headers, body) if answer is None else answer

    def _current_signer(self) -> Signer:
        """Return the signer of the credentials as they are now."""
        credentials = self._credentials.get_frozen_credentials()
        signer = self._signer
        if signer is None or signer.credentials != credentials:
            signer = self._signer = Signer(credentials, *self._scope)
        return signer

    def _post(self, headers: dict[str, str], body: bytes) -> KeptAnswer:
        try:
            return self._connections.post(headers, body)
        except (OSError, http.client.HTTPException) as error:
            raise HTTPClientError(error=error) from error

    def _parse(self, answer: KeptAnswer) -> dict[str, Any]:
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
