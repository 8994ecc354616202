"""Keep a local stack up and say how to use it: `make local`.

Usage: ``python -m local.up [--port PORT] [--keep DIR] [--cube OPTIONS] [NAME=VALUE ...]``.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

from local.command import CommandError, run
from local.stack import SAMPLE_DEVICES, LocalStack

# The port at which `cube-sms --local` looks for it.
PORT = 4566

USE = """
The stack is up. {stop}

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

  # a message through the API, and all that is known of it; and one by Cube v4, which this account uses
  .venv/bin/cube-sms send 89314404000939952215 Hello --id first --local
  .venv/bin/cube-sms show first --local
  .venv/bin/cube-sms send 89314404000939952215 Hello --account v4 --local

  # their outcomes: the functions' logs and metrics, the provider's request log, and the dead letters
  aws logs filter-log-events --log-group-name {log_group} --query 'events[].message' --output text
  curl {cube}/_requests
  .venv/bin/cube-sms dlq list --local

  # an outage of the provider for the next two requests
  curl -X PUT {cube}/_config --json '{{"nextFaults":["status:503*2"]}}'
"""


def main() -> int:
    """Start the stack, and stop it at a signal.

    Returns
    -------
    int
        The exit status: 1 if a part of the stack ends by itself.
    """
    options = _options()
    parameters = dict(map(_parameter, options.parameters))
    cube = [*SAMPLE_DEVICES, *options.cube]
    stack = LocalStack(parameters, port=options.port, keep=options.keep, cube=cube)
    try:
        print(_use(stack, options.keep), flush=True)
        while not (ended := stack.ended):
            time.sleep(0.2)
        print(f"This has ended by itself, and so has the stack: {ended}", file=sys.stderr)
    except KeyboardInterrupt:
        print("Stopping ...")
        return 0
    finally:
        stack.stop()
    return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make local", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("parameters", nargs="*", metavar="NAME=VALUE", help="parameter of the template")
    parser.add_argument("--port", type=int, default=PORT, help=f"port of the local AWS, 0 for a free one ({PORT})")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder that keeps what the local AWS holds")
    parser.add_argument(
        "--cube", type=shlex.split, default=[], metavar="OPTIONS", help="options of the simulator of Cube"
    )
    return parser.parse_args()


def _parameter(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise CommandError(f"{text!r} is not of the form NAME=VALUE.")
    if name in ("CubeBaseUrl", "CubeV4BaseUrl"):
        raise CommandError(f"{name} is the simulator's address here. No local stack posts to the provider.")
    return name, value


def _use(stack: LocalStack, keep: Path | None) -> str:
    if keep:
        stop = f"Ctrl-C stops it. {keep} keeps it, except for the simulator's request log (docs/local.md)."
    else:
        stop = "Ctrl-C stops it, and everything it holds is lost. KEEP=DIR keeps it in a folder."
    return USE.format(
        stop=stop,
        aws=stack.aws.url,
        region=stack.sqs.meta.region_name,
        queue=stack.outputs["SendQueueUrl"],
        dead_letters=stack.outputs["DeadLetterQueueUrl"],
        api=stack.api_url,
        cube=stack.cube.url,
        log_group=stack.outputs["SendFromQueueLogGroup"],
    )


if __name__ == "__main__":
    sys.exit(run(main))
