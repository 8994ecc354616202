"""The naive peer: requests, and Powertools as its documentation combines it, with all imports at the top."""

from __future__ import annotations

import os
from typing import Any

import requests
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig, idempotent_function

from benchmarks.peers.cube import HEADERS, URL, signed_body

session = requests.Session()
processor = BatchProcessor(event_type=EventType.SQS)
dynamodb = DynamoDBPersistenceLayer(table_name=os.environ["MESSAGES_TABLE"])
config = IdempotencyConfig(event_key_jmespath="messageId")
logger = Logger()
metrics = Metrics(namespace="Naive")
tracer = Tracer()


@tracer.capture_method
@idempotent_function(data_keyword_argument="record", config=config, persistence_store=dynamodb)  # type: ignore[untyped-decorator]
def record_handler(record: Any) -> dict[str, Any]:
    """Send one message."""
    message = record.json_body
    accounts = parameters.get_secret(os.environ["CUBE_SECRET_ID"], transform="json", max_age=300)
    response = session.post(URL, data=signed_body(message, accounts["default"]), headers=HEADERS, timeout=10)
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    if answer["code"] != "0000":
        raise RuntimeError(answer["message"])
    logger.info("message sent", extra={"request_id": message["requestId"], "code": answer["code"]})
    metrics.add_metric(name="MessagesSent", unit=MetricUnit.Count, value=1)
    return answer


@metrics.log_metrics
@logger.inject_lambda_context
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Send a batch from the queue."""
    config.register_lambda_context(context)
    return dict(process_partial_response(event, record_handler, processor, context))
