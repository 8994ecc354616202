"""What has arrived: an HTTP request, and what it says of the messages in it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request that has arrived whole, on the connection with this number."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        """Its target without the query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query of its target."""
        return self.target.partition("?")[2]


@dataclass(frozen=True, slots=True)
class Told:
    """What can be read of a request before it is checked, for the request log and for a device's faults."""

    devices: list[str | None]
    account: str | None
    message_type: str | None
    contents: list[str | None]
    nonce: str | None = None


def text(value: object) -> str | None:
    """Return a value that is a text, and None for any other."""
    return value if isinstance(value, str) else None
