"""Put a send request onto the queue.

Usage: ``QUEUE_URL=… AWS_REGION=… python send_to_queue.py REQUEST_ID DEVICE_ID TEXT``. It needs boto3.
"""

from __future__ import annotations

import json
import os
import sys

import boto3
from botocore.exceptions import BotoCoreError, ClientError


def main() -> None:
    """Send one message, and print its id on the queue."""
    request_id, device_id, text = sys.argv[1:]
    # The gateway sends one message for a requestId, however often the request is put onto the queue.
    request = {"requestId": request_id, "deviceId": device_id, "content": text}
    sqs = boto3.client("sqs", region_name=os.environ["AWS_REGION"])
    try:
        answer = sqs.send_message(
            QueueUrl=os.environ["QUEUE_URL"],
            MessageBody=json.dumps(request),
            # A FIFO queue keeps the messages of a group in order. A standard queue accepts a group too.
            MessageGroupId=device_id,
        )
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"{request_id}: {error}")
    print(f"{request_id} is on the queue as {answer['MessageId']}")


if __name__ == "__main__":
    main()
