"""A deployed stack: its outputs and parameters, AWS's clients, and its REST API."""

from __future__ import annotations

import json
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError
from botocore.httpsession import URLLib3Session

from .errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Mapping

# The address of AWS in `make local`, unless AWS_ENDPOINT_URL says otherwise.
LOCAL_URL = "http://127.0.0.1:4566"
LOCAL_REGION = "eu-central-1"

# As many as the threads of a look at a queue. Other clients do not mind.
MOST_CONNECTIONS = 16
_CONFIG = Config(max_pool_connections=MOST_CONNECTIONS, retries={"mode": "standard"})

# An API function may take as long as API Gateway waits for it.
_API_SECONDS = 40


class ApiAnswer(NamedTuple):
    """An answer of the REST API.

    Parameters
    ----------
    status : int
        HTTP status.
    headers : Mapping[str, str]
        Headers.
    body : dict
        The JSON object.
    """

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]


class Stack:
    """A deployed stack. AWS is asked when something is first needed, and asked once.

    Parameters
    ----------
    name : str
        Of the CloudFormation stack.
    region, profile : str, optional
        boto3's environment says them if they are not given.
    is_local : bool
        Whether it is the stack of ``make local``.
    """

    def __init__(self, name: str, region: str | None, profile: str | None, *, is_local: bool = False) -> None:
        self.name = name
        self._region = region
        self._profile = profile
        self._is_local = is_local
        self._clients: dict[str, Any] = {}

    @cached_property
    def session(self) -> boto3.Session:
        """boto3's session."""
        if self._is_local:
            return boto3.Session("test", "test", region_name=LOCAL_REGION)
        return boto3.Session(region_name=self._region, profile_name=self._profile)

    @property
    def endpoint_url(self) -> str | None:
        """The address of AWS, if it is a local one."""
        return os.environ.get("AWS_ENDPOINT_URL") or (LOCAL_URL if self._is_local else None)

    @property
    def region(self) -> str:
        """AWS's region."""
        if not self.session.region_name:
            raise NoRegionError
        return str(self.session.region_name)

    def client(self, service: str) -> Any:
        """Return boto3's client of a service."""
        if service not in self._clients:
            self._clients[service] = self.session.client(  # type: ignore[call-overload]
                service, endpoint_url=self.endpoint_url, config=_CONFIG
            )
        return self._clients[service]

    @cached_property
    def description(self) -> dict[str, Any]:
        """CloudFormation's description of the stack."""
        try:
            (described,) = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if "does not exist" not in error.response["Error"].get("Message", ""):
                raise
            raise OperatorError(
                f"There is no stack {self.name} in {self.region}. Is the name right (--stack), and the region?"
            ) from None
        return cast("dict[str, Any]", described)

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The outputs of the stack, by name."""
        return {each["OutputKey"]: each["OutputValue"] for each in self.description.get("Outputs", [])}

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The parameters of the stack, by name."""
        return {each["ParameterKey"]: each["ParameterValue"] for each in self.description.get("Parameters", [])}

    def output(self, name: str, *, wanted_for: str | None = None) -> str:
        """Return an output.

        Parameters
        ----------
        name : str
            Which.
        wanted_for : str, optional
            What to say if it is missing, such as "Deploy the stack with Campaigns=true.".

        Raises
        ------
        OperatorError
            If the stack does not have it.
        """
        if name not in self.outputs:
            raise OperatorError(f"The stack {self.name} has no output {name}. {wanted_for or 'Is it one of cube-sms?'}")
        return self.outputs[name]

    @property
    def api_url(self) -> str:
        """The base URL of the REST API, which is another one on a local AWS."""
        if self.endpoint_url:
            return f"{self.endpoint_url}/restapis/{self.output('ApiId')}/v1/_user_request_"
        return self.output("ApiUrl")

    def call_api(self, method: str, path: str, body: Any = None, **headers: str) -> ApiAnswer:
        """Call the REST API, signed with the caller's credentials.

        Parameters
        ----------
        method, path : str
            Such as "GET" and "/messages/7d1e".
        body : Any, optional
            What is sent as JSON.
        **headers : str
            Further headers, with underscores in their names for hyphens.

        Raises
        ------
        OperatorError
            If what answers is not the API.
        """
        region, credentials = self.region, self.session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body)
        request = AWSRequest(method, self.api_url + path, {"Content-Type": "application/json", **names}, data)
        SigV4Auth(credentials, "execute-api", region).add_auth(request)
        answer = self._http.send(request.prepare())
        try:
            content = json.loads(answer.content)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise OperatorError(f"{self.api_url} answers HTTP {answer.status_code}, and no JSON object. Is it the API?")
        return ApiAnswer(answer.status_code, answer.headers, content)

    @cached_property
    def _http(self) -> URLLib3Session:
        # botocore takes the path of a CA bundle too, and its stubs do not know.
        verify = cast("bool", os.environ.get("AWS_CA_BUNDLE") or True)
        return URLLib3Session(verify=verify, timeout=_API_SECONDS)
