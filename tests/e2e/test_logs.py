"""What a function prints is in its log once its invocation has been answered: tests and the demo read it there."""

from __future__ import annotations

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor

from local.ministack import MiniStack

CALLS, LINES = 25, 300
CODE = f"""
def handler(event, context):
    for number in range({LINES}):
        print(event, number)
    if event % 2:
        raise ValueError(event)
"""


def test_no_line_comes_late() -> None:
    # Given a function that prints right before it answers or fails
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("app.py", CODE)
    with MiniStack() as aws, ThreadPoolExecutor(CALLS) as callers:
        functions = aws.client("lambda", max_pool_connections=CALLS)
        functions.create_function(
            FunctionName="talkative",
            Runtime="python3.13",
            Role="arn:aws:iam::000000000000:role/any",
            Handler="app.handler",
            Code={"ZipFile": archive.getvalue()},
            Timeout=60,
        )

        # When it runs in so many places at once that the local AWS is busy
        list(callers.map(lambda call: functions.invoke(FunctionName="talkative", Payload=str(call)), range(CALLS)))

        # Then each line is there, and the lines of each call are in order
        (page,) = aws.client("logs").get_paginator("filter_log_events").paginate(logGroupName="/aws/lambda/talkative")
        lines = [event["message"] for event in page["events"]]
        for call in range(CALLS):
            printed = [f"{call} {number}" for number in range(LINES)]
            assert [line for line in lines if line.startswith(f"{call} ")] == printed
