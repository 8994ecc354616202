"""What surrounds the invocations of a function: its init before them, and the beginning and the end of each.

What a function imports and makes in its init stays. Python's garbage collector would look through all of it for
nothing, so it rests until the first invocation. Then it leaves alone what was there before.
"""

from __future__ import annotations

import gc
import os
from functools import wraps
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from .telemetry import Telemetry

    type Handler[Event, Answer] = Callable[[Event, LambdaContext], Answer]

# Lambda sets it. Any other process that imports this keeps its collector.
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    gc.disable()


def invocation[Event, Answer](
    telemetry: Telemetry,
) -> Callable[[Handler[Event, Answer]], Handler[Event, Answer]]:
    """Decorate a handler: its lines of the log name the invocation, and its metrics are emitted at the end.

    Parameters
    ----------
    telemetry : Telemetry
        The function's.

    Returns
    -------
    Callable
        The decorator.
    """

    def decorate(handler: Handler[Event, Answer]) -> Handler[Event, Answer]:
        @wraps(handler)
        def handle(event: Event, context: LambdaContext) -> Answer:
            if not gc.isenabled():
                gc.freeze()
                gc.enable()
            telemetry.logger.append_keys(function_request_id=context.aws_request_id)
            try:
                return handler(event, context)
            finally:
                telemetry.flush()

        return handle

    return decorate
