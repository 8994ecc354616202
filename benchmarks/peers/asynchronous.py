"""The async peer: aiohttp, and Powertools' AsyncBatchProcessor, which sends all messages of a batch at the same time.

Powertools' idempotency is not async, so the two writes of a record are boto3's, in threads.
"""

from __future__ import annotations

import asyncio
import os
import time
from functools import cache
from typing import Any

import aiohttp
import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.batch import AsyncBatchProcessor, EventType, async_process_partial_response

from benchmarks.peers.cube import HEADERS, URL, signed_body

processor = AsyncBatchProcessor(event_type=EventType.SQS)
table = boto3.resource("dynamodb").Table(os.environ["MESSAGES_TABLE"])
logger = Logger()
metrics = Metrics(namespace="Async")


@cache
def session() -> aiohttp.ClientSession:
    """Return the one session. The first call makes it, inside the event loop."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))


async def record_handler(record: Any) -> dict[str, Any]:
    """Send one message."""
    message = record.json_body
    key = {"messageId": record.message_id}
    await asyncio.to_thread(
        table.put_item,
        Item={**key, "state": "SENDING", "ttl": int(time.time()) + 30 * 86400},
        ConditionExpression="attribute_not_exists(messageId)",
    )
    accounts = parameters.get_secret(os.environ["CUBE_SECRET_ID"], transform="json", max_age=300)
    body = signed_body(message, accounts["default"])
    async with session().post(URL, data=body, headers=HEADERS) as response:
        response.raise_for_status()
        answer: dict[str, Any] = await response.json()
    if answer["code"] != "0000":
        raise RuntimeError(answer["message"])
    await asyncio.to_thread(
        table.update_item,
        Key=key,
        UpdateExpression="SET #state = :state, #code = :code",
        ExpressionAttributeNames={"#state": "state", "#code": "code"},
        ExpressionAttributeValues={":state": "SENT", ":code": answer["code"]},
    )
    logger.info("message sent", extra={"request_id": message["requestId"], "code": answer["code"]})
    metrics.add_metric(name="MessagesSent", unit=MetricUnit.Count, value=1)
    return answer


@metrics.log_metrics
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Send a batch from the queue."""
    return dict(async_process_partial_response(event, record_handler, processor, context))
