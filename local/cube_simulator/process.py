"""The simulator as a child process, for tests, the demo and the local stack."""

import http.client
import json
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from local.command import CommandError, uninterrupted
from local.cube_simulator.config import camel_case
from local.stoppable import Stoppable

_ROOT = Path(__file__).parents[2]

type Option = str | float | Sequence[str] | None


class CubeSimulator(Stoppable):
    """A simulator that runs as long as this context, or until `stop`.

    Parameters
    ----------
    *arguments
        Of its command line, as they are.
    start_timeout
        How long the child may take until it listens, in seconds.
    **options
        Options of the command line, `-` written as `_`. True gives a flag, and a list repeats the option. None and
        False leave it out.

    Examples
    --------
    >>> with CubeSimulator(qps=0, fault_device=["89310001=status:503*2"]) as cube:
    ...     cube.stats()["received"]
    0
    """

    name = "The simulator of Cube"

    def __init__(self, *arguments: str, start_timeout: float = 60.0, **options: Option) -> None:
        command = [sys.executable, "-m", "local.cube_simulator", "--exit-with-parent", *_arguments(options), *arguments]
        self._process = subprocess.Popen(
            command,
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C is for its parent, which then stops it.
            start_new_session=True,
        )
        try:
            ready = json.loads(self._first_line(start_timeout))
        except BaseException:
            self.stop()
            raise
        self.url: str = ready["url"]
        self.port = int(self.url.rpartition(":")[2])
        self.seed: int = ready["seed"]

    def stats(self) -> dict[str, Any]:
        """Return the counts of the request log."""
        stats: dict[str, Any] = self._call("GET", "/_stats")
        return stats

    def requests(self, device_id: str | None = None) -> list[dict[str, Any]]:
        """Return the sendSms requests in order, of one device if it is given."""
        query = "" if device_id is None else "?" + urlencode({"deviceId": device_id})
        requests: list[dict[str, Any]] = self._call("GET", "/_requests" + query)
        return requests

    def configure(self, **changes: object) -> dict[str, Any]:
        """Change settings, named as in `Config`, in their JSON form, and return all of them.

        Raises
        ------
        ValueError
            If the simulator refuses a setting.
        """
        config: dict[str, Any] = self._call(
            "PUT", "/_config", {camel_case(name): value for name, value in changes.items()}
        )
        return config

    def add_reply(self, sim_id: str, content: str, **given: object) -> None:
        """Add a message from a SIM, which ``GET …/sms/mo/{sim_id}`` lists."""
        self._call("POST", "/_replies", {"simId": sim_id, "content": content, **given})

    def call_back(self, *callbacks: dict[str, Any]) -> None:
        """Have messages from devices called back, in this order; `callbacks` has their members."""
        self._call("POST", "/_callbacks", {"callbacks": list(callbacks)})

    def callbacks(self) -> list[dict[str, Any]]:
        """Return the messages from devices, with how each try to call back was answered so far."""
        callbacks: list[dict[str, Any]] = self._call("GET", "/_callbacks")
        return callbacks

    def reset(self) -> None:
        """Clear the request log and limits, and play the configured faults from the start."""
        self._call("POST", "/_reset")

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        with uninterrupted():
            return self._process.poll() is None

    def stop(self) -> int:
        """Stop the child, and return its exit code."""
        self._process.terminate()
        try:
            # Closes the child's pipes as well.
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        return self._process.returncode

    def _first_line(self, timeout: float) -> str:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            raise CommandError(f"{self.name} does not listen after {timeout:g} s.")
        line = self._process.stdout.readline()
        if not line:
            raise CommandError(f"{self.name} did not start. Its own words are above.")
        return line

    def _call(self, method: str, target: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        try:
            connection.request(method, target, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            value = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(value["error"])
        return value


def _arguments(options: dict[str, Option]) -> list[str]:
    arguments = []
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if value is True:
            arguments.append(option)
        elif isinstance(value, str | int | float) and value is not False:
            arguments.append(f"{option}={value}")
        elif value:
            arguments += [f"{option}={each}" for each in value]
    return arguments
