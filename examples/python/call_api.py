"""Send a message through the REST API, and wait for its outcome.

Usage: ``API_URL=… AWS_REGION=… python call_api.py REQUEST_ID DEVICE_ID TEXT``. It needs boto3, which has urllib3.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import boto3
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

# API Gateway answers within 29 seconds.
TIMEOUT = 35.0


def main() -> None:
    """Send one message, and print its state."""
    request_id, device_id, text = sys.argv[1:]
    url = f"{os.environ['API_URL']}/messages"
    body = json.dumps({"requestId": request_id, "deviceId": device_id, "content": text})
    credentials = boto3.Session().get_credentials()
    if not credentials:
        sys.exit("There are no AWS credentials.")
    request = AWSRequest("POST", url, {"Content-Type": "application/json"}, body)
    SigV4Auth(credentials, "execute-api", os.environ["AWS_REGION"]).add_auth(request)
    try:
        answer = urllib3.request("POST", url, body=body, headers=dict(request.headers), timeout=TIMEOUT, retries=False)
    except urllib3.exceptions.HTTPError as error:
        sys.exit(f"{request_id}: repeat the call with the same requestId, {error}")
    if answer.status != 200:
        sys.exit(f"{request_id}: {reason(answer)}")
    print(f"{request_id} is {answer.json()['state']}")


def reason(answer: BaseHTTPResponse) -> str:
    """Return what an error answer says."""
    if "problem+json" not in answer.headers.get("Content-Type", ""):
        # API Gateway refuses a call in its own form, for example one that is not signed well.
        return f"{answer.status} {answer.data.decode(errors='replace')}"
    problem = answer.json()
    # After this time the call can be repeated, with the same requestId.
    wait = f" (repeat it after {answer.headers['Retry-After']} s)" if "Retry-After" in answer.headers else ""
    return f"{answer.status} {problem['title']}: {problem['detail']}{wait}"


if __name__ == "__main__":
    main()
