"""What the simulator calls back: messages from devices, in the older family's form and as v4 notifications.

A callback is repeated until it is answered with 2xx, `callbackTries` times at most. A fault spoils what arrives:

forged
    v4: a signature made with another key; csss: a token that ends in another character
stale
    v4: a right signature, with a timestamp of the day before yesterday
unknown
    an undocumented form; as v4, with a right signature
large
    a body of more than 64 KiB; as v4, with a right signature
again
    the right callback, and once more after its answer
"""

import base64
import hmac
import json
import random
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Self

import urllib3

from local.cube_simulator.config import Config, camel_case

KINDS = ("csss", "v4")
FAULTS = ("", "forged", "stale", "unknown", "large", "again")

# Those that wait for one another's answers.
SENDERS = 4
TIMEOUT = 40.0
_DAY = 86_400_000


@dataclass(slots=True)
class MobileMessage:
    """A message from a device, and how it was called back.

    Parameters
    ----------
    device_id, content : str
        Its device, and its text.
    received_at : int
        Milliseconds since the epoch.
    kind : str
        One of `KINDS`.
    fault : str
        One of `FAULTS`.
    statuses : list of int
        How each try was answered; 0 for no answer.
    """

    device_id: str
    content: str
    received_at: int
    kind: str = "csss"
    fault: str = ""
    statuses: list[int] = field(default_factory=list)

    @classmethod
    def read(cls, given: object) -> Self:
        """Read one of the administrative API.

        Raises
        ------
        ValueError
            If it is malformed.
        """
        if not isinstance(given, dict):
            raise ValueError("each callback must be an object")
        names = {"deviceId", "content", "receivedAt", "kind", "fault"}
        if unknown := sorted(given.keys() - names):
            raise ValueError(f"{unknown[0]}: no such member; there are {', '.join(sorted(names))}")
        message = cls(
            device_id=str(given.get("deviceId", "")),
            content=str(given.get("content", "")),
            received_at=int(given.get("receivedAt") or time.time() * 1000),
            kind=str(given.get("kind", "csss")),
            fault=str(given.get("fault", "")),
        )
        if message.kind not in KINDS or message.fault not in FAULTS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, and fault one of {', '.join(FAULTS[1:])}")
        return message

    def shown(self) -> dict[str, object]:
        """Return it in its JSON form."""
        return {camel_case(name): value for name, value in asdict(self).items()}

    @property
    def body(self) -> bytes:
        """The body of its callback, with the keys in no order."""
        members: dict[str, object]
        if self.fault == "unknown":
            members = {"notify": "mo", "items": [{"sim": self.device_id, "say": self.content, "at": self.received_at}]}
        elif self.kind == "csss":
            members = {
                "partner_code": "P002276",
                "sim_id": self.device_id,
                "imsi": "460000000000000",
                "message_type": "Text",
                "text_message": self.content,
                "received_at": str(self.received_at),
            }
        else:
            members = {
                "sim_id": self.device_id,
                "msisdn": "8613800000000",
                "received_at": self.received_at,
                "message": {"type": 1, "content": self.content},
                "org_id": "O1",
            }
        if self.fault == "large":
            members["padding"] = "x" * 65_536
        keys = list(members)
        random.shuffle(keys)
        return json.dumps({key: members[key] for key in keys}, ensure_ascii=False).encode()


class Callbacks:
    """Calls back in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(SENDERS)
        self._is_stopping = threading.Event()
        self._lock = threading.Lock()
        self._messages: list[MobileMessage] = []
        self._http: urllib3.PoolManager | None = None

    def send(self, message: MobileMessage, config: Config) -> None:
        """Begin to call back, as the configuration has it now."""
        with self._lock:
            self._messages.append(message)
        self._threads.submit(self._deliver, message, config)

    def shown(self) -> list[dict[str, object]]:
        """Return all messages, with how each try was answered so far."""
        with self._lock:
            return [message.shown() for message in self._messages]

    def reset(self) -> None:
        """Forget what was called back."""
        with self._lock:
            self._messages.clear()

    def stop(self) -> None:
        """Give up what is under way."""
        self._is_stopping.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _deliver(self, message: MobileMessage, config: Config) -> None:
        for _ in range(config.callback_tries):
            status = self._try(message, config)
            if status // 100 == 2 and message.fault != "again":
                return
            if self._is_stopping.wait(config.callback_pause):
                return

    def _try(self, message: MobileMessage, config: Config) -> int:
        body, url = message.body, config.callback_url
        headers = {"Content-Type": "application/json"}
        if message.kind == "v4":
            url = config.callback_v4_url or url
            headers |= signed(body, config.callback_key_id, config.callback_key, message.fault)
        elif message.fault == "forged":
            url = url[:-1] + ("a" if url[-1] != "a" else "b")
        try:
            status = self._pool(config).request("POST", url, body=body, headers=headers).status
        except urllib3.exceptions.HTTPError:
            status = 0
        with self._lock:
            message.statuses.append(status)
        return status

    def _pool(self, config: Config) -> urllib3.PoolManager:
        if self._http is None:
            self._http = urllib3.PoolManager(retries=False, timeout=TIMEOUT, ca_certs=config.callback_ca or None)
        return self._http


def signed(body: bytes, key_id: str, key: str, fault: str = "") -> Mapping[str, str]:
    """Return the headers of a v4 notification."""
    timestamp = str(int(time.time() * 1000) - (2 * _DAY if fault == "stale" else 0))
    key = f"another than {key}" if fault == "forged" else key
    text = f"1.0:HMAC-SHA1:{timestamp}" + json.dumps(
        json.loads(body), ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )
    digest = base64.b64encode(hmac.digest(key.encode(), text.encode(), "sha1")).decode()
    return {
        "x-lf-notification-version": "1.0",
        "x-lf-algo": "HMAC-SHA1",
        "x-lf-timestamp": timestamp,
        "x-lf-signature": f"{key_id}/{digest}",
    }
