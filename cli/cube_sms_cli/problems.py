"""What the REST API answers if it does not do what it is asked, as a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .stack import ApiAnswer

_CONFLICT = 409


def problem(answer: ApiAnswer) -> str:
    """Return what an answer says that is no success: each fault of a request by its field, or another reason.

    Examples
    --------
    >>> from cube_sms_cli.stack import ApiAnswer
    >>> problem(ApiAnswer(429, {"Retry-After": "7"}, {"title": "Throttled", "detail": "the provider asks to wait"}))
    'Throttled: the provider asks to wait. Try again in 7 s.'
    """
    body = answer.body
    if errors := body.get("errors"):
        return invalid((f"{each['path']}: {each['message']}" for each in errors), body.get("moreErrors") or 0)
    if "title" not in body:
        # API Gateway's own, which spells its one member in two ways.
        said = body.get("message") or body.get("Message") or "no reason"
        what = "You may not call the API: see docs/operator-policy.json." if answer.status == 403 else "The API fails."
        return f"{what} API Gateway says: {said} (HTTP {answer.status})"
    later = answer.headers.get("Retry-After")
    # If it is too late, that is the code of what was sent.
    code = f" (code {body['code']})" if body.get("code") and answer.status != _CONFLICT else ""
    return f"{body['title']}: {body['detail']}{code}." + (f" Try again in {later} s." if later else "")


def invalid(faults: Iterable[str], more: int = 0) -> str:
    """Return what is wrong with a send request.

    Examples
    --------
    >>> invalid(["deviceId: is missing"], 3)
    'The request is not valid: deviceId: is missing; and 3 more.'
    """
    return f"The request is not valid: {'; '.join([*faults, *([f'and {more} more'] if more else [])])}."
