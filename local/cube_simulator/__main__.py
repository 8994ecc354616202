"""The command line: `python -m local.cube_simulator`."""

import argparse
import asyncio
import ipaddress
import json
import os
import secrets
import signal
import sys
from collections.abc import Callable, Sequence

from local.cube_simulator.config import Config, ConfigError, camel_case
from local.cube_simulator.cube import Cube
from local.cube_simulator.server import serve


def _loopback(host: str) -> str:
    address = "127.0.0.1" if host == "localhost" else host
    try:
        if ipaddress.ip_address(address).is_loopback:
            return address
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{host} is not a loopback address: the simulator serves this machine only")


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not (key and separator and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return key, value


def _rate(text: str) -> tuple[str, float]:
    fault, _, rate = text.rpartition("=")
    try:
        return fault, float(rate)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KIND[:ARGUMENT]=RATE") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cube_simulator", description="A strict Cube on loopback.")
    option: Callable[..., argparse.Action] = parser.add_argument
    option("--host", type=_loopback, default="127.0.0.1", help="loopback address to listen on")
    option("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    option("--qps", type=int, help="requests in any one second (10); 0 is no limit")
    option("--connections", type=int, help="open connections that carry sendSms (3); 0 is no limit")
    option("--quota", type=int, help="requests in a UTC day (5000); 0 is no limit")
    option("--latency", type=float, metavar="SECONDS", help="delay before each answer (0)")
    option("--keep-alive", type=float, metavar="SECONDS", help="how long an idle connection is kept (60)")
    option("--retry-after", help="what a 429 carries: seconds, date or none (seconds)")
    option("--timestamp-unit", help="s or ms (s)")
    option("--key-order", help="of the signed text: sorted or page (sorted)")
    option("--escape-slashes", action="store_true", default=None, help="escape / in the signed text")
    option("--escape-non-ascii", action="store_true", default=None, help="escape all but ASCII in the signed text")
    option("--lenient-body", action="store_true", default=None, help="accept a body that is not the signed text")
    option(
        "--envelope-only", action="store_true", default=None, help="refuse with HTTP 200 and the envelope's code alone"
    )
    option("--account", type=_pair, action="append", dest="accounts", metavar="ACCESS_CODE=SECRET")
    option("--key", type=_pair, action="append", dest="keys", metavar="KEY_ID=PEM", help="public key of a v4 account")
    option("--signed-spaces", help="spaces in the text that is signed for v4: keep or remove (keep)")
    option("--unknown-device", action="append", dest="unknown_devices", metavar="DEVICE")
    option(
        "--foreign-device", action="append", dest="foreign_devices", metavar="DEVICE", help="of another organisation"
    )
    option("--receipt-delay", type=float, metavar="SECONDS", help="until a message that was accepted has ended (0)")
    option(
        "--undelivered-device",
        action="append",
        dest="undelivered_devices",
        metavar="DEVICE",
        help="that gets no message, though each is accepted",
    )
    option("--fault", type=_rate, action="append", dest="faults", metavar="KIND[:ARGUMENT]=RATE")
    option(
        "--fault-device", type=_pair, action="append", dest="device_faults", metavar="DEVICE=KIND[:ARGUMENT][*TIMES]"
    )
    option("--reply-device", type=_pair, action="append", dest="reply_devices", metavar="DEVICE=TEXT")
    option("--callback-url", help="where a device's answer goes: a URL of this machine, with its token")
    option("--callback-v4-url", help="the same for devices of accounts that use v4, if it is another one")
    option("--callback-key-id", help="of the key that signs v4 notifications")
    option("--callback-key", help="the key that signs v4 notifications")
    option("--callback-tries", type=int, help="how often a callback that is not answered with 2xx is sent (3)")
    option("--callback-pause", type=float, metavar="SECONDS", help="between two of these (0.5)")
    option("--seed", type=int, help="of the generator that chooses faults by rate")
    option("--log", action="store_true", help="a line of JSON on stderr for each request")
    option("--exit-with-parent", action="store_true", help="exit when standard input ends")
    return parser


def _changes(options: argparse.Namespace) -> dict[str, object]:
    """Return the options that are settings in the form of the administrative API."""
    given = {name: value for name, value in vars(options).items() if value is not None and hasattr(Config(), name)}
    for name in ("faults", "device_faults", "reply_devices"):
        if name in given:
            given[name] = dict(given[name])
    if options.undelivered_devices:
        given["sent_statuses"] = dict.fromkeys(options.undelivered_devices, 2)
    for name in {"accounts", "keys"} & given.keys():
        accounts: dict[str, list[str]] = {}
        for code, secret in given[name]:
            accounts.setdefault(code, []).append(secret)
        given[name] = accounts
    return {camel_case(name): value for name, value in given.items()}


async def _run(cube: Cube, host: str, port: int, *, exit_with_parent: bool) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if exit_with_parent:
        # The parent holds the other end. When it ends or crashes, the kernel closes it.
        stdin = sys.stdin.fileno()
        loop.add_reader(stdin, lambda: None if os.read(stdin, 1024) else stopped.set())
    server, url = await serve(cube, host, port)
    print(json.dumps({"event": "listening", "url": url, "seed": cube.seed}), flush=True)
    await stopped.wait()
    server.close()
    server.abort_clients()
    cube.stop()
    await server.wait_closed()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the simulator until SIGTERM or SIGINT."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        config = Config().changed(_changes(options))
    except ConfigError as error:
        parser.error(str(error))
    seed = options.seed if options.seed is not None else secrets.randbelow(2**32)
    cube = Cube(config, seed, log=options.log)
    asyncio.run(_run(cube, options.host, options.port, exit_with_parent=options.exit_with_parent))


if __name__ == "__main__":
    main()
