"""The signature of the page's own example, and HMAC-SHA1 of the same bytes."""

from __future__ import annotations

import hmac
from typing import Any

from benchmarks.inside.timing import interleaved
from cube_sms.provider.csss.signing import canonical_json, sign

SECRET = "test-secret"
PARAMETERS = {
    "version": "2.0",
    "access_code": "P002276",
    "timestamp": "1643253530",
    "deviceId": "89314404000939952215",
    "messageType": "Text",
    "smsContentList": [{"smsTemplateContent": "Test message", "smsType": "", "smsNum": "1"}],
}
# What openssl makes of the example.
SIGNATURE = "ZRQ7VRiV08wHUq2DwpX+5A9iM1E="

STATEMENTS = {"sign": "sign(parameters, secret)", "digest": 'digest(key, content, "sha1")'}


def samples(rounds: int, count: int) -> dict[str, list[float]]:
    """Return the microseconds of each statement, one value for each round."""
    return interleaved({key: (statement, count) for key, statement in STATEMENTS.items()}, _names(), rounds)


def _names() -> dict[str, Any]:
    if sign(PARAMETERS, SECRET) != SIGNATURE:
        raise AssertionError("the signature is wrong")
    return {
        "sign": sign,
        "parameters": PARAMETERS,
        "secret": SECRET,
        "digest": hmac.digest,
        "key": SECRET.encode(),
        "content": canonical_json(PARAMETERS),
    }
