"""What the simulator says: its refusals in two languages, and how an answer is delivered."""

import json
from dataclasses import dataclass
from typing import Literal, NamedTuple

type Headers = tuple[tuple[str, str], ...]
type Delivery = Literal["whole", "trickle", "truncated", "close", "reset"]

JSON_TYPE = ("Content-Type", "application/json")
CLOSE = ("Connection", "close")


class Wording(NamedTuple):
    """How a refusal is worded: HTTP status, the code of each dialect, and the message in two languages."""

    status: int
    code: str
    v4_code: str
    chinese: str
    english: str


# The provider publishes no code of csss but "0000", and a few of v4. The others are invented, and a client must not
# depend on them.
REASONS = {
    "connections": Wording(429, "9429", "CB-99-9429", "连接数超过限制", "too many connections"),
    "qps": Wording(429, "9429", "CB-99-9429", "请求过于频繁", "too many requests"),
    "quota": Wording(429, "9429", "CB-99-9429", "超过每日配额", "daily quota exceeded"),
    "content-type": Wording(400, "9400", "CB-99-9400", "请求格式错误", "content type must be application/json"),
    "json": Wording(400, "9400", "CB-99-9400", "请求格式错误", "malformed JSON"),
    "fields": Wording(400, "9400", "CB-99-9400", "参数错误", "invalid parameter"),
    "missing": Wording(400, "9400", "CB-99-9402", "缺少参数", "missing parameter"),
    "access-code": Wording(401, "9401", "CB-99-9401", "未授权", "unknown access_code"),
    "timestamp": Wording(400, "9400", "CB-99-9400", "时间戳已过期", "timestamp is out of range"),
    "signature": Wording(403, "9403", "CB-99-9403", "签名错误", "invalid signature"),
    "body": Wording(403, "9403", "CB-99-9403", "签名错误", "body is not the signed text"),
    "nonce": Wording(400, "9400", "CB-99-9400", "随机数已使用", "nonce was used for another request"),
    "content": Wording(200, "9499", "CB-04-9999", "短信校验失败", "invalid message"),
    "device": Wording(200, "9404", "CB-01-0001", "设备不存在", "unknown device"),
    "foreign-device": Wording(200, "9406", "CB-01-0006", "设备不属于该组织", "device of another organisation"),
    "time-range": Wording(400, "9400", "CB-00-0001", "时间范围错误", "invalid time range"),
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


def as_json(status: int, value: object, headers: Headers = ()) -> Answer:
    """Return an administrative answer."""
    return Answer(status, json.dumps(value).encode(), (JSON_TYPE, *headers))
