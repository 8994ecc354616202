"""A server of another program, as a child process that is gone with its context."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from local.command import CommandError, uninterrupted
from local.stoppable import Stoppable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Below those that Linux takes for outgoing connections: one of these could have a port before its server does.
_PORTS = range(20_000, 32_768)


class Child(Stoppable):
    """A process with a group, a folder and a log of its own, for as long as this context, or until `stop`.

    Parameters
    ----------
    name : str
        What messages call it.
    stop_signals : sequence of signal.Signals
        What its group gets to stop it, one after the other while it still runs.
    stop_timeout : float
        Seconds it has after each of them.
    """

    def __init__(
        self,
        name: str,
        *,
        stop_signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGKILL),
        stop_timeout: float = 2.0,
    ) -> None:
        self.name = name
        self._stop_signals = stop_signals
        self._stop_timeout = stop_timeout
        self._scratch = tempfile.TemporaryDirectory(prefix="cube-sms-")
        self.log_file = Path(self._scratch.name, "log")

    def log(self) -> str:
        """Return what it has printed."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        with uninterrupted():
            return self._process.poll() is None

    def stop(self) -> None:
        """Stop it and its own children, and remove what it had on disk."""
        for sign in self._stop_signals:
            try:
                os.killpg(self._process.pid, sign)
            except ProcessLookupError:
                break
            try:
                self._process.wait(timeout=self._stop_timeout)
            except subprocess.TimeoutExpired:
                continue
        self._process.wait()
        self._scratch.cleanup()

    def _start(self, command: Sequence[str], environment: Mapping[str, str], *, timeout: float) -> None:
        with self.log_file.open("w") as log:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_ready(timeout)
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not self.is_running:
                raise CommandError(f"{self.name} did not start:\n{self.log()}")
            try:
                self._connect()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise CommandError(f"{self.name} is not ready after {timeout:g} s:\n{self.log()}")

    def _connect(self) -> None:
        """Raise `OSError` unless it is ready."""
        raise NotImplementedError


def is_free(port: int) -> bool:
    """Whether a port of 127.0.0.1 has no listener."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Return different ports of 127.0.0.1 that have no listener."""
    servers: list[socket.socket] = []
    try:
        while len(servers) < count:
            with contextlib.suppress(OSError):
                servers.append(socket.create_server(("127.0.0.1", secrets.choice(_PORTS))))
        return [int(server.getsockname()[1]) for server in servers]
    finally:
        for server in servers:
            server.close()
