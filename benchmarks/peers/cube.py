"""A signed request to Cube, as the provider's page asks for it; all peers send this one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from typing import Any

URL = os.environ["CUBE_BASE_URL"] + "/sms/sendSms"
ACCOUNT = {"access_code": "P002276", "secret": "test-secret"}
HEADERS = {"Content-Type": "application/json", "Accept-Language": "zh-CN"}


def signed_body(message: dict[str, Any], account: dict[str, str]) -> bytes:
    """Return the body of a request."""
    parameters: dict[str, Any] = {
        "access_code": account["access_code"],
        "deviceId": message["deviceId"],
        "messageType": message.get("messageType", "Text"),
        "smsContentList": [{"smsTemplateContent": message["content"], "smsType": "", "smsNum": "1"}],
        "timestamp": str(int(time.time())),
        "version": "2.0",
    }
    digest = hmac.new(account["secret"].encode(), _json(parameters), hashlib.sha1).digest()
    parameters["sign"] = base64.b64encode(digest).decode()
    return _json(parameters)


def _json(parameters: dict[str, Any]) -> bytes:
    return json.dumps(parameters, separators=(",", ":"), ensure_ascii=False).encode()
