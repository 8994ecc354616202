"""What all other packages use: settings, AWS clients, logs and metrics."""

from __future__ import annotations

# First: what is imported before it is looked through for garbage.
from .invocations import invocation  # isort: skip

from . import metrics
from .aws import aws_client, direct_client
from .bus import PUT_EVENTS_SIZE, SOURCE, Event, EventBus
from .calls import Reply, body_of, header_of, problem, problem_of, reply_to_error
from .due import due_keys, shard_of
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
    error_name,
    obstacle,
)
from .items import KEY, get_item, get_items, key_of, key_to, update_item
from .metrics import Metric
from .settings import FollowUpSettings, Meaning, ProviderSettings, Settings
from .side_by_side import SideBySide
from .sqs import FAILED_CLAIM, MAX_MESSAGE_BYTES, is_fifo, message_size, put_copy, sendable
from .tasks import TaskAnswers, Tasks, report_task_answers
from .telemetry import SERVICE, Level, Telemetry
from .times import DAY, rfc3339
from .tls import default_ssl_context
from .updates import ConditionalUpdate
from .urls import parse_base_url

__all__ = [
    "DAY",
    "FAILED_CLAIM",
    "KEY",
    "MAX_MESSAGE_BYTES",
    "PUT_EVENTS_SIZE",
    "SERVICE",
    "SOURCE",
    "ApiAnswer",
    "AwsUnavailableError",
    "ConditionalUpdate",
    "Event",
    "EventBus",
    "Fault",
    "FaultsError",
    "FollowUpSettings",
    "Level",
    "Meaning",
    "Metric",
    "NotPostedError",
    "Obstacle",
    "ProviderSettings",
    "RecordsUnavailableError",
    "Reply",
    "Settings",
    "SettingsError",
    "SideBySide",
    "TaskAnswers",
    "Tasks",
    "Telemetry",
    "UnexpectedError",
    "aws_client",
    "body_of",
    "default_ssl_context",
    "direct_client",
    "due_keys",
    "error_name",
    "get_item",
    "get_items",
    "header_of",
    "invocation",
    "is_fifo",
    "key_of",
    "key_to",
    "message_size",
    "metrics",
    "obstacle",
    "parse_base_url",
    "problem",
    "problem_of",
    "put_copy",
    "reply_to_error",
    "report_task_answers",
    "rfc3339",
    "sendable",
    "shard_of",
    "update_item",
]
