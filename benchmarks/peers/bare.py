"""The least that HTTP costs: urllib3 in a loop, without records, logs or a look at the answers."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import urllib3

from benchmarks.peers.cube import ACCOUNT, HEADERS, URL, signed_body

url = urlsplit(URL)
pool = urllib3.connection_from_url(URL)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Send a batch from the queue."""
    for record in event["Records"]:
        body = signed_body(json.loads(record["body"]), ACCOUNT)
        pool.urlopen("POST", url.path, body, HEADERS, retries=False).json()
    return {"batchItemFailures": []}
