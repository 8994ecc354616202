"""An account that uses v4 in addition to the default one, and messages of it that may share a query."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.integration.deployment import SECRET_ID
from tests.support import ACCESS_CODE, SECRET, queue_event
from tests.v4_account import ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cube_sms.delivery.records import Record
    from local.cube_simulator import CubeSimulator
    from tests.integration.deployment import Deployment

ACCOUNT = "fleet"


def device(number: int) -> str:
    """Return a device's id."""
    return f"8931440400093995{number:04d}"


def bodies(numbers: int | Iterable[int], **fields: Any) -> list[str]:
    """Return messages of one text, each for a device of its own and named after it."""
    numbers = range(numbers) if isinstance(numbers, int) else numbers
    return [
        json.dumps(
            {
                "requestId": f"order-{number}",
                "deviceId": device(number),
                "account": ACCOUNT,
                "content": "Report your position",
                **fields,
            }
        )
        for number in numbers
    ]


def messages(numbers: int | Iterable[int], **fields: Any) -> dict[str, Any]:
    """Return the event of such messages."""
    return queue_event(*bodies(numbers, **fields))


class Fleet:
    """The gateway with that account, and the request log of the simulator."""

    def __init__(self, gateway: Deployment, cube: CubeSimulator) -> None:
        self.gateway = gateway
        self.cube = cube
        entries = {"default": {"access_code": ACCESS_CODE, "secret": SECRET}, ACCOUNT: ENTRY}
        gateway.secrets.put_secret_value(SecretId=SECRET_ID, SecretString=json.dumps(entries))
        # The simulated AWS makes one call at a time, and the claims of a hundred messages take a while: a long lease.
        gateway.configure(CUBE_V4_BASE_URL=f"{cube.url}/cube/v4", CUBE_READ_TIMEOUT="60")

    def records(self, number: int) -> list[Record]:
        """Return the records of the first messages."""
        return [self.gateway.record(f"order-{each}", ACCOUNT) for each in range(number)]

    def queries(self) -> list[int]:
        """Return how many messages each query carried, in their order."""
        return list(Counter(post["n"] for post in self.cube.requests()).values())

    def accepted(self) -> Counter[str]:
        """Return how often each device's message was accepted."""
        return Counter(post["deviceId"] for post in self.cube.requests() if post["accepted"])
