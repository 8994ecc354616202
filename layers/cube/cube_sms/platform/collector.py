"""Python's garbage collector while a function starts.

What a function imports and makes in its init stays. The collector would look through all of it for nothing, which is a
tenth of the init. So it rests until the first invocation, and then leaves alone what was there before.
"""

from __future__ import annotations

import gc
import os


def collect() -> None:
    """Let the collector work, if it rests."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


# Lambda sets it. Any other process that imports this keeps its collector.
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    gc.disable()
