"""The commands of the README, as a person runs them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_demo_ends_well() -> None:
    demo = subprocess.run([sys.executable, "-m", "local.demo"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert demo.returncode == 0, demo.stdout + demo.stderr
    for event in (ROOT / "events").glob("*.json"):
        assert event.stem in demo.stdout


def test_the_local_stack_stays_up_until_it_is_stopped() -> None:
    # Given a stack started by hand
    command = [sys.executable, "-m", "local.up", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            printed = ""
            while "_config" not in printed.split("In another terminal", 1)[-1]:
                line = process.stdout.readline()
                assert line, "it ended before it was up"
                printed += line

            # When its endpoints are called, they answer
            simulator = re.search(r"Cube simulator +(\S+)", printed)
            assert simulator
            with urllib.request.urlopen(f"{simulator[1]}/_health", timeout=10) as answer:
                assert answer.status == 200
            assert all("127.0.0.1" in url for url in re.findall(r"https?://[^/\s]+", printed))

            # Then it ends in order when it is told to
        finally:
            process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(timeout=30) == 0
