"""What the simulator says: the provider's envelope, its refusals in two languages, and how an answer is delivered."""

import json
from dataclasses import dataclass
from typing import Literal, NamedTuple

type Headers = tuple[tuple[str, str], ...]
type Delivery = Literal["whole", "trickle", "truncated", "close", "reset"]

JSON_TYPE = ("Content-Type", "application/json")
CLOSE = ("Connection", "close")


class Wording(NamedTuple):
    """How one reason to refuse is told: HTTP status, envelope code, and the message in Chinese and in English."""

    status: int
    code: str
    chinese: str
    english: str


# The provider publishes no codes but "0000": these are invented, and a client must not depend on them.
REASONS = {
    "connections": Wording(429, "9429", "连接数超过限制", "too many connections"),
    "qps": Wording(429, "9429", "请求过于频繁", "too many requests"),
    "quota": Wording(429, "9429", "超过每日配额", "daily quota exceeded"),
    "content-type": Wording(400, "9400", "请求格式错误", "content type must be application/json"),
    "json": Wording(400, "9400", "请求格式错误", "malformed JSON"),
    "fields": Wording(400, "9400", "参数错误", "invalid parameter"),
    "access-code": Wording(401, "9401", "未授权", "unknown access_code"),
    "timestamp": Wording(400, "9400", "时间戳已过期", "timestamp is out of range"),
    "signature": Wording(403, "9403", "签名错误", "invalid signature"),
    "body": Wording(403, "9403", "签名错误", "body is not the signed text"),
    "device": Wording(200, "9404", "设备不存在", "unknown device"),
}


class RefusedError(Exception):
    """The request is refused, for a reason of `REASONS`."""

    def __init__(self, reason: str, detail: str = "", retry_after: int | None = None) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer and the manner of its delivery.

    `pause` is waited before the first byte, `step` before every further one of an answer that trickles. Status 0 is
    no answer at all.
    """

    status: int
    body: bytes
    headers: Headers = (JSON_TYPE,)
    delivery: Delivery = "whole"
    pause: float = 0.0
    step: float = 0.0


def envelope(code: str, message: str, *, success: bool = False) -> bytes:
    """Return the provider's envelope."""
    fields = {"code": code, "data": None, "message": message, "success": success}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def refusal(error: RefusedError, *, english: bool) -> Answer:
    """Return the answer to a refused request, without a Retry-After header."""
    wording = REASONS[error.reason]
    message = wording.english if english else wording.chinese
    return Answer(wording.status, envelope(wording.code, f"{message}: {error.detail}" if error.detail else message))


def as_json(status: int, value: object, headers: Headers = ()) -> Answer:
    """Return an administrative answer."""
    return Answer(status, json.dumps(value).encode(), (JSON_TYPE, *headers))


SUCCESS = Answer(200, envelope("0000", "success", success=True))
