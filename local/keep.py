"""A folder that outlives a local stack, and brings back what it held."""

from __future__ import annotations

import fcntl
import json
from typing import TYPE_CHECKING

from local.command import CommandError
from local.stoppable import Stoppable

if TYPE_CHECKING:
    from pathlib import Path

_MARK = "cube-sms.json"


class Kept(Stoppable):
    """A folder that keeps what a local AWS holds. One stack has it at a time.

    Parameters
    ----------
    folder : Path
        The folder, which is made unless it is there.

    Raises
    ------
    CommandError
        If it holds something else, or another stack has it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().resolve()
        try:
            # It holds contents and credentials.
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._mark.exists() and any(self.folder.iterdir()):
                raise CommandError(f"{self.folder} is not empty, and no stack was kept there. Name another folder.")
            self._lock = self._mark.open("a+")
        except OSError as error:
            raise CommandError(f"{self.folder} cannot keep a stack: {error.strerror}.") from error
        try:
            # Of the open file, so that it ends with the process that has it, however that ends.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise CommandError(
                f"Another stack is up from {self.folder}. Stop it first, or name another folder."
            ) from None
        self._lock.seek(0)
        self.ports: dict[str, int] = json.loads(self._lock.read() or "{}")
        """Where its servers listened: names in it hold these ports."""
        self._forget_positions_in_streams()

    def note_ports(self, **ports: int) -> None:
        """Write down where its servers listen."""
        self.ports = ports
        self._lock.truncate(0)
        self._lock.write(json.dumps(ports))
        self._lock.flush()

    def stop(self) -> None:
        """Leave the folder to the next one."""
        self._lock.close()

    @property
    def environment(self) -> dict[str, str]:
        """The settings that keep MiniStack's state here: it reads the state as it starts, and writes it as it stops."""
        return {
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self.folder / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self.folder / "s3"),
        }

    @property
    def _mark(self) -> Path:
        return self.folder / _MARK

    def _forget_positions_in_streams(self) -> None:
        # MiniStack keeps the position in a table's stream, and forgets the stream. It would read the new stream from
        # that position on, and so skip as many outcomes.
        path = self.folder / "state" / "lambda.json"
        if path.exists():
            state = json.loads(path.read_text("utf-8"))
            state["payload"]["dynamodb_stream_positions"] = {}
            path.write_text(json.dumps(state), "utf-8")
