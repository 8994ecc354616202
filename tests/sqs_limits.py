"""What SQS refuses, and the simulated ones take: they count no attributes, and look at no characters in them."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

MAX_BYTES = 1024 * 1024
REFUSED = "".join(
    chr(code)
    for code in range(0x10000)
    if not (code in (0x9, 0xA, 0xD) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD)
)
_REFUSED = frozenset(REFUSED)


def refuse_as_sqs(params: dict[str, Any], **_: Any) -> None:
    """Refuse a message that SQS would refuse; a handler of botocore's event ``provide-client-params``."""
    attributes: dict[str, Any] = params.get("MessageAttributes", {})
    texts = [params["MessageBody"]]
    for name, attribute in attributes.items():
        texts += [name, attribute["DataType"], attribute.get("StringValue") or attribute["BinaryValue"]]
    if len(attributes) > 10 or not all(texts):
        raise _refusal("InvalidParameterValue", "too many attributes, or an empty one")
    if any(isinstance(text, str) and not _REFUSED.isdisjoint(text) for text in texts):
        raise _refusal("InvalidMessageContents", "characters outside the allowed set")
    if sum(len(text.encode() if isinstance(text, str) else text) for text in texts) > MAX_BYTES:
        raise _refusal("InvalidParameterValue", f"Message must be shorter than {MAX_BYTES} bytes.")


def _refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "SendMessage")
