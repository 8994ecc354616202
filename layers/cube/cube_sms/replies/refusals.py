"""Reasons for refusing a callback, each with its answer and its metric."""

from __future__ import annotations

from enum import Enum

from cube_sms.platform import ApiAnswer, Metric, metrics


class Refusal(Enum):
    """A reason for refusing a callback.

    Parameters
    ----------
    reason : str
        The reason in one word, for the log.
    answer : ApiAnswer
        The answer to the caller.
    metric : Metric
        The metric that counts it.
    """

    # The same answer as for any unknown path, so that it does not reveal tokens.
    UNKNOWN_TOKEN = (
        "UnknownToken",
        ApiAnswer(404, "Not found", "there is no such resource"),
        metrics.CALLBACKS_MISADDRESSED,
    )
    MALFORMED = (
        "Malformed",
        ApiAnswer(400, "Malformed callback", "the body is empty or no JSON, or the x-lf-* headers are not complete"),
        metrics.CALLBACKS_REFUSED,
    )
    UNSIGNED = (
        "Unsigned",
        ApiAnswer(401, "No signature", "x-lf-signature: is required here"),
        metrics.CALLBACKS_REFUSED,
    )
    NO_KEY = (
        "NoKey",
        ApiAnswer(401, "No key", "x-lf-signature: there is no key to verify it with"),
        metrics.CALLBACKS_REFUSED,
    )
    FORGED = (
        "Forged",
        ApiAnswer(401, "Wrong signature", "x-lf-signature: does not belong to this body and these headers"),
        metrics.CALLBACKS_REFUSED,
    )
    STALE = (
        "Stale",
        ApiAnswer(401, "Wrong time", "x-lf-timestamp: is too long ago, or in the future"),
        metrics.CALLBACKS_REFUSED,
    )
    TOO_LARGE = (
        "TooLarge",
        ApiAnswer(413, "Too large", "the body is larger than a callback may be"),
        metrics.CALLBACKS_REFUSED,
    )

    def __init__(self, reason: str, answer: ApiAnswer, metric: Metric) -> None:
        self.reason = reason
        self.answer = answer
        self.metric = metric
