"""The ground that all else stands on: settings, AWS clients, logs and metrics."""

from __future__ import annotations

from . import metrics
from .aws import AWS_CONFIG, OBJECTS_CONFIG, direct_client
from .errors import (
    ApiAnswer,
    AwsUnavailableError,
    Fault,
    FaultsError,
    NotPostedError,
    Obstacle,
    RecordsUnavailableError,
    SettingsError,
    UnexpectedError,
    obstacle,
)
from .items import KEY, get_item, get_items, key_of, key_to, update_item
from .metrics import Metric
from .settings import Meaning, Settings
from .side_by_side import SideBySide
from .sqs import FAILED_CLAIM, MAX_MESSAGE_BYTES, is_fifo, message_size, put_copy, sendable
from .telemetry import SERVICE, Level, Telemetry
from .times import DAY, rfc3339
from .tls import default_ssl_context
from .updates import ConditionalUpdate
from .urls import parse_base_url

__all__ = [
    "AWS_CONFIG",
    "DAY",
    "FAILED_CLAIM",
    "KEY",
    "MAX_MESSAGE_BYTES",
    "OBJECTS_CONFIG",
    "SERVICE",
    "ApiAnswer",
    "AwsUnavailableError",
    "ConditionalUpdate",
    "Fault",
    "FaultsError",
    "Level",
    "Meaning",
    "Metric",
    "NotPostedError",
    "Obstacle",
    "RecordsUnavailableError",
    "Settings",
    "SettingsError",
    "SideBySide",
    "Telemetry",
    "UnexpectedError",
    "default_ssl_context",
    "direct_client",
    "get_item",
    "get_items",
    "is_fifo",
    "key_of",
    "key_to",
    "message_size",
    "metrics",
    "obstacle",
    "parse_base_url",
    "put_copy",
    "rfc3339",
    "sendable",
    "update_item",
]
