"""The naive peer, deployed on this machine."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import urllib3

from benchmarks.pacing.naive.build import build
from local.cube_simulator import CubeSimulator
from local.deploy import deploy
from local.ministack import MiniStack
from local.stack import ACCESS_CODE, SECRET, HttpAnswer

if TYPE_CHECKING:
    from types import TracebackType


class NaiveStack:
    """The peer on a local AWS of its own, with a simulator of its own, as long as this context.

    Parameters
    ----------
    **simulator
        Options of the provider's simulator.
    """

    def __init__(self, **simulator: Any) -> None:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="naive-")))
            build(folder)
            self.cube = stack.enter_context(CubeSimulator(account=f"{ACCESS_CODE}={SECRET}", **simulator))
            self.aws = stack.enter_context(MiniStack())
            parameters = {"CubeBaseUrl": f"{self.cube.url}/cube/v4"}
            self.outputs = deploy(self.aws, "naive", parameters, build=folder)
            self.aws.client("secretsmanager").put_secret_value(
                SecretId=self.outputs["CubeSecretId"],
                SecretString=json.dumps({"default": {"access_code": ACCESS_CODE, "secret": SECRET}}),
            )
            self._http = urllib3.PoolManager(retries=False, timeout=60)
            stack.callback(self._http.clear)
            self._resources = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def call_api(self, method: str, path: str, body: str | None = None) -> HttpAnswer:
        """Call the REST API, which asks for no signature."""
        url = f"{self.aws.url}/restapis/{self.outputs['ApiId']}/v1/_user_request_{path}"
        answer = self._http.request(method, url, body=body, headers={"Content-Type": "application/json"})
        return HttpAnswer(answer.status, answer.headers, json.loads(answer.data))
