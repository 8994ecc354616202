"""Keep a local stack up and say how to use it. Usage: ``python -m local.up [--port PORT]``."""

from __future__ import annotations

import argparse
import signal

from local.stack import LocalStack

USE = """
The stack is up. Ctrl-C stops it and everything it holds.

  local AWS           {aws}
  send queue          {queue}
  dead-letter queue   {dead_letters}
  REST API            {api}
  Cube simulator      {cube}   (GET /_stats, GET /_requests, PUT /_config)

In another terminal:

  export AWS_ENDPOINT_URL={aws} AWS_DEFAULT_REGION={region} AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test

  # a message through the queue (the endpoint is named again for version 1 of the AWS CLI)
  aws --endpoint-url {aws} sqs send-message --queue-url {queue} \\
    --message-body '{{"deviceId":"89314404000939952215","content":"Hello"}}'

  # a message through the API
  curl --aws-sigv4 aws:amz:{region}:execute-api --user test:test {api}/messages \\
    --json '{{"deviceId":"89314404000939952215","content":"Hello"}}'

  # what became of them: the functions' logs and metrics, the provider's books, and the dead letters
  aws logs filter-log-events --log-group-name {log_group} --query 'events[].message' --output text
  curl {cube}/_requests
  make dlq

  # an outage of the provider for the next two requests
  curl -X PUT {cube}/_config --json '{{"nextFaults":["status:503*2"]}}'
"""


def main() -> None:
    """Start the stack and wait for a signal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=4566, help="port of the local AWS, 0 for a free one")
    port = parser.parse_args().port
    # Both end the wait below, after which everything is stopped in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with LocalStack(port=port) as stack:
        print(
            USE.format(
                aws=stack.aws.url,
                region=stack.sqs.meta.region_name,
                queue=stack.outputs["SendQueueUrl"],
                dead_letters=stack.outputs["DeadLetterQueueUrl"],
                api=stack.api_url,
                cube=stack.cube.url,
                log_group=stack.outputs["SendFromQueueLogGroup"],
            ),
            flush=True,
        )
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("Stopping ...")


if __name__ == "__main__":
    main()
