"""Record live views of ``cube-sms`` from a local run: docs/top.svg and docs/campaign-watch.svg.

Usage: ``python -m local.recording``. The command runs in a terminal of its own, beside a campaign that is sent at the
provider's rate. An emulator of a terminal keeps its screen, and each second of it is a frame of an SVG that moves.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pexpect
import pyte
from rich.console import Console
from rich.text import Text

from local.stack import LocalStack, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCS = Path(__file__).parents[1] / "docs"
COMMAND = Path(sys.executable).with_name("cube-sms")

WIDTH, HEIGHT = 104, 17

# Seconds that are recorded of each, and of a frame.
SECONDS = 24.0
FRAME_SECONDS = 1.0

ROWS = 600
TEXT = "Report your position"

# What the emulator calls otherwise than rich does.
_COLOURS = {"brown": "yellow", "brightbrown": "brightyellow"}


class Recorder:
    """A command in a terminal, and what was on its screen.

    Parameters
    ----------
    stack : LocalStack
        The stack of the command.
    *arguments : str
        The command's.
    """

    def __init__(self, stack: LocalStack, *arguments: str) -> None:
        self.title = " ".join(("cube-sms", *arguments))
        self._screen = pyte.Screen(WIDTH, HEIGHT)
        self._stream = pyte.Stream(self._screen)
        self._child: pexpect.spawn[str] = pexpect.spawn(
            str(COMMAND),
            list(arguments),
            env={**os.environ, **stack.aws.environment, "TERM": "xterm-256color", "COLORTERM": ""},
            encoding="utf-8",
            dimensions=(HEIGHT, WIDTH),
        )

    def frames(self, seconds: float) -> list[str]:
        """Return the screen as SVGs, for so many seconds from its first text on; then end the command."""
        while not self._read(time.time() + FRAME_SECONDS):
            continue
        began, found = time.time(), [self._drawn(0)]
        while time.time() < began + seconds and self._child.isalive():
            self._read(time.time() + FRAME_SECONDS)
            found.append(self._drawn(len(found)))
        self._child.sendintr()
        self._child.close(force=True)
        return found

    def _read(self, until: float) -> bool:
        """Read what is written until then, and return whether the screen shows something."""
        while (left := until - time.time()) > 0:
            try:
                self._stream.feed(self._child.read_nonblocking(10_000, timeout=left))
            except pexpect.TIMEOUT:
                break
            except pexpect.EOF:
                break
        return any(line.strip() for line in self._screen.display)

    def _drawn(self, number: int) -> str:
        console = Console(record=True, file=io.StringIO(), width=WIDTH, height=HEIGHT)
        for row in range(HEIGHT):
            line = Text()
            characters = (self._screen.buffer[row][column] for column in range(WIDTH))
            for style, run in groupby(characters, key=_style):
                line.append("".join(character.data for character in run), style=style)
            console.print(line, soft_wrap=True)
        drawn = console.export_svg(title=self.title, unique_id=f"frame-{number}")
        # So a viewer needs no font from elsewhere.
        return re.sub(r"@font-face \{[^}]*\}\s*", "", drawn)


def animated(frames: Sequence[str]) -> str:
    """Return one SVG that shows frames one after the other, again and again.

    Parameters
    ----------
    frames : sequence of str
        SVGs of one size.

    Returns
    -------
    str
        The SVG. Who wants no motion sees the last frame.
    """
    (box,) = re.findall(r'viewBox="([^"]+)"', frames[0])
    seconds, share = len(frames) * FRAME_SECONDS, 100 / len(frames)
    style = f"""
    @keyframes show {{ 0% {{ visibility: visible }} {share:.4f}% {{ visibility: hidden }} }}
    .frame {{ visibility: hidden; animation: show {seconds:g}s step-end infinite }}
    @media (prefers-reduced-motion) {{ .frame {{ animation: none }} .frame:last-of-type {{ visibility: visible }} }}
    """
    groups = (
        f'<g class="frame" style="animation-delay: {number * FRAME_SECONDS:g}s">{frame}</g>'
        for number, frame in enumerate(frames)
    )
    body = "\n".join(groups)
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}"><style>{style}</style>\n{body}\n</svg>\n'


def main() -> None:
    """Send a campaign on a local stack, and record both views of it."""
    with LocalStack({"Campaigns": "true"}, latency=0.1) as stack, TemporaryDirectory() as folder:
        file = Path(folder, "spring.csv")
        file.write_text("deviceId\n" + "".join(f"8931440400093{number:07d}\n" for number in range(ROWS)))
        environment = {**os.environ, **stack.aws.environment}
        start = [str(COMMAND), "campaign", "start", str(file), "--text", TEXT, "--no-watch"]
        subprocess.run(start, env=environment, check=True)
        wait_until("messages to be sent", lambda: stack.cube.stats()["accepted"] > 0)
        for name, arguments in (("campaign-watch", ("campaign", "watch", "spring")), ("top", ("top",))):
            print(f"Recording {name} for {SECONDS:.0f} s ...")
            target = DOCS / f"{name}.svg"
            target.write_text(animated(Recorder(stack, *arguments).frames(SECONDS)), "utf-8")
            print(f"Wrote {target}")


def _style(character: pyte.screens.Char) -> str:
    name = _COLOURS.get(character.fg, character.fg)
    colour = f"#{name}" if re.fullmatch(r"[0-9a-f]{6}", name) else name.replace("bright", "bright_", 1)
    return f"bold {colour}" if character.bold else colour


if __name__ == "__main__":
    main()
