"""Logs and metrics: one JSON log line for each message, metrics once for each invocation.

Neither holds content or credentials; of a device id they show the last four characters. The rest of a line is up to its
writer. Powertools' metrics are not thread-safe: everything here is called from the handler's own thread.
"""

from __future__ import annotations

import logging
import traceback
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics

from .errors import obstacle

if TYPE_CHECKING:
    from .metrics import Metric

type Level = Literal["info", "warning", "error"]

NAMESPACE = "CubeSms"
SERVICE = "cube-sms"

# The Account dimension of what belongs to all accounts.
ALL_ACCOUNTS = "all"

# What CloudWatch takes of one metric in one object.
MAX_VALUES = 100

# What no line shows is not looked up for it either (Python's logging HOWTO, "Optimization").
logging._srcfile = None
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False

# What urllib3 has to say of a malformed answer is not JSON, and quotes it.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)


class Telemetry:
    """Logs what happens and gathers its metrics until `flush`.

    Parameters
    ----------
    service : str
        What metrics call the deployment.
    """

    def __init__(self, service: str = SERVICE) -> None:
        # msgspec's encoder takes a third of the time of Python's; and no text of ours is JSON, which Powertools tries.
        self.logger = Logger(
            service=service, location=None, xray_trace_id=None, json_serializer=_json, json_deserializer=str
        )
        # Each byte of a line is paid for. The log group names stack and function, and Lambda's own line of an
        # invocation has its trace.
        self.logger.append_keys(service=None)
        self._service = service
        self._emitters: dict[str, EphemeralMetrics] = {}
        # By the Account dimension, and whether it is an account's name, which may be one of the others'.
        self._metrics: defaultdict[tuple[str, bool], defaultdict[Metric, list[float]]]
        self._metrics = defaultdict(lambda: defaultdict(list))

    def log(self, level: Level, text: str, correlation_id: str, **fields: Any) -> None:
        """Write a line.

        Parameters
        ----------
        level : {"info", "warning", "error"}
            Its level.
        text : str
            What happened.
        correlation_id : str
            The id of what it happened to.
        **fields
            Further fields; those that are None are left out.
        """
        known = {name: value for name, value in fields.items() if value is not None}
        getattr(self.logger, level)(text, extra={"correlation_id": correlation_id, **known})

    def count(self, metric: Metric, value: float = 1, *, account: str | None = None) -> None:
        """Add a value to a metric.

        Parameters
        ----------
        metric : Metric
            The metric.
        value : float
            The value, in the metric's unit.
        account : str or None
            Whose it is, where it is an account's.
        """
        is_account = metric.of == "account"
        dimension = str(account) if is_account else metric.of
        self._metrics[dimension, is_account][metric].append(value)

    def failed(self, error: Exception, correlation_id: str, *, account: str | None = None, **details: Any) -> None:
        """Report what could not be dealt with.

        For an error without a line of its own this reports its source, without its text, which may quote anything.

        Parameters
        ----------
        error : Exception
            Why.
        correlation_id : str
            The id of what could not be dealt with.
        account : str or None
            Its account, where that is known.
        **details
            Further fields.
        """
        met = obstacle(error)
        if met.log:
            level, text = met.log
            self.log(level, text, correlation_id, **met.log_fields, **details)
        else:
            stack = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
            self.log("error", "unexpected error", correlation_id, error=type(error).__name__, stack=stack, **details)
        if met.metric:
            self.count(met.metric, account=account)

    def flush(self) -> None:
        """Emit the metrics gathered, one EMF object for each account.

        What belongs to an account is emitted for all accounts as well, under ``service`` alone. CloudWatch adds up no
        dimensions, and an alarm watches one set of them.
        """
        gathered, self._metrics = self._metrics, defaultdict(lambda: defaultdict(list))
        for (account, is_account), metrics in gathered.items():
            emitter = self._emitter(account)
            emitted = {
                metric: [sum(values)] if metric.unit == "Count" else values for metric, values in metrics.items()
            }
            for start in range(0, max(map(len, emitted.values())), MAX_VALUES):
                # Powertools forgets these when it is flushed.
                emitter.dimension_sets[:] = [{"service": self._service}] if is_account else []
                # Its `add_metric` looks at all values of a metric for each that it adds.
                for metric, values in emitted.items():
                    if chunk := values[start : start + MAX_VALUES]:
                        emitter.metric_set[metric.name] = {
                            "Unit": metric.unit,
                            "StorageResolution": 60,
                            "Value": chunk,
                        }
                emitter.flush_metrics()

    def _emitter(self, account: str) -> EphemeralMetrics:
        # Making one takes as long as emitting with it.
        if account not in self._emitters:
            self._emitters[account] = EphemeralMetrics(namespace=NAMESPACE, service=self._service)
            self._emitters[account].set_default_dimensions(Account=account)
        return self._emitters[account]


def _json(entry: dict[str, Any]) -> str:
    return msgspec.json.encode(entry, enc_hook=str).decode()
