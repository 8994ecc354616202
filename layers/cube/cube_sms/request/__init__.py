"""What a send request may hold."""

from __future__ import annotations

from .content import CONTENT_FIELD
from .envelopes import unwrap
from .errors import InvalidRequestError
from .models import (
    ACCOUNT_FORM,
    DEFAULT_ACCOUNT,
    DEFAULT_MAX_CONTENT_LENGTH,
    FIELDS,
    DeviceId,
    MessageType,
    SendRequest,
    is_account,
    is_device_id,
    is_request_id,
    mask_device_id,
)
from .parsing import parse_send_request
from .size import refuse_too_large

__all__ = [
    "ACCOUNT_FORM",
    "CONTENT_FIELD",
    "DEFAULT_ACCOUNT",
    "DEFAULT_MAX_CONTENT_LENGTH",
    "FIELDS",
    "DeviceId",
    "InvalidRequestError",
    "MessageType",
    "SendRequest",
    "is_account",
    "is_device_id",
    "is_request_id",
    "mask_device_id",
    "parse_send_request",
    "refuse_too_large",
    "unwrap",
]
