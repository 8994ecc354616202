"""AWS's prices in us-east-1, in dollars, without free tiers and discounts. They change; each has its source."""

from __future__ import annotations

from typing import NamedTuple


class Price(NamedTuple):
    """A price.

    Parameters
    ----------
    dollars : float
        For one unit.
    unit : str
        What that is.
    page : str
        AWS's page of it.
    seen_in : str
        Where that page was found quoted, and from when that is.
    """

    dollars: float
    unit: str
    page: str
    seen_in: str

    @property
    def text(self) -> str:
        """The price in words."""
        return f"${self.dollars:.10f}".rstrip("0").rstrip(".") + f" for {self.unit}"


_MILLION = 1e-6

_LAMBDA = ("aws.amazon.com/lambda", "cloudchipr.com, 2024")
_DYNAMODB = ("aws.amazon.com/dynamodb", "airbyte.com, July 2025")
_CLOUDWATCH = ("aws.amazon.com/cloudwatch", "cloudburn.io and signoz.io, February 2026")
_SECRETS = ("aws.amazon.com/secrets-manager", "hivebook.wiki, no date")

LAMBDA_REQUEST = Price(0.20 * _MILLION, "an invocation", *_LAMBDA)
LAMBDA_GB_SECOND = Price(0.0000133334, "a GB-second, arm64", *_LAMBDA)
SQS_REQUEST = Price(
    0.40 * _MILLION, "a request to a standard queue", "aws.amazon.com/sqs", "factualminds.com, June 2026"
)
DYNAMODB_WRITE = Price(0.625 * _MILLION, "a write request unit, on demand", *_DYNAMODB)
DYNAMODB_GB_MONTH = Price(0.25, "a GB of table a month", *_DYNAMODB)
BUS_EVENT = Price(1.00 * _MILLION, "a custom event", "aws.amazon.com/eventbridge", "cloudburn.io, March 2026")
LOG_GB = Price(0.50, "a GB of logs taken in", *_CLOUDWATCH)
ALARM_MONTH = Price(0.10, "an alarm a month", *_CLOUDWATCH)
METRIC_MONTH = Price(0.30, "a custom metric a month", *_CLOUDWATCH)
TRACE = Price(5.00 * _MILLION, "a trace recorded", "aws.amazon.com/xray", "a stored copy of it, no date")
SECRET_CALL = Price(0.05e-4, "a call of Secrets Manager", *_SECRETS)
SECRET_MONTH = Price(0.40, "a secret a month", *_SECRETS)

ALL = (
    LAMBDA_REQUEST,
    LAMBDA_GB_SECOND,
    SQS_REQUEST,
    DYNAMODB_WRITE,
    DYNAMODB_GB_MONTH,
    BUS_EVENT,
    LOG_GB,
    ALARM_MONTH,
    METRIC_MONTH,
    TRACE,
    SECRET_CALL,
    SECRET_MONTH,
)
