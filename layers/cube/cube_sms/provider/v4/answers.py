"""How the answers of v4 look, and what the codes mean that the provider publishes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cube_sms.provider.answers import Envelope, Form, once, read_members
from cube_sms.provider.base import (
    CubeAuthenticationError,
    CubeInternalError,
    CubeMessageRejected,
    CubeRecipientRejected,
    CubeRejected,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cube_sms.provider.base import CubeError

SUCCESS_CODE = "CB-00-0000"

MEANINGS: Mapping[str, type[CubeError]] = {
    "CB-99-9401": CubeAuthenticationError,
    "CB-99-9403": CubeAuthenticationError,
    # About the parameters, without saying which: it may be one recipient's.
    "CB-99-9400": CubeRejected,
    "CB-99-9402": CubeRejected,
    "CB-01-0001": CubeRecipientRejected,
    "CB-01-0006": CubeRecipientRejected,
    "CB-04-9999": CubeMessageRejected,
    # The English page calls it an internal call error, the Chinese one "busy, try again later". Who broke while it was
    # calling another may have sent the message before.
    "CB-99-9500": CubeInternalError,
    "CB-99-9999": CubeInternalError,
    # The last request is still being processed: it may be this one, sent before.
    "CB-01-0111": CubeInternalError,
}

# The provider's name for a job is of unknown form, and goes into records and events.
_JOB_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def read_envelope(body: bytes) -> Envelope | None:
    """Return what an answer says, where it is legible.

    Only the provider's words may be garbled. All else is read strictly: one JSON object with one object ``status``,
    which has ``code``, a string, once.

    Parameters
    ----------
    body : bytes
        As for `read_members`.

    Returns
    -------
    Envelope or None
        None for anything else.

    Examples
    --------
    >>> read_envelope(b'{"data":{"job_id":"7"},"status":{"code":"CB-00-0000","message":"Success","detail":[]}}')
    Envelope(code='CB-00-0000', says_yes=True, says_no=False, message='Success', job_id='7')
    """
    members = read_members(body)
    if members is None or not once(members, "status"):
        return None
    told = dict(members)
    if not (isinstance(told["status"], tuple) and once(told["status"], "code")):
        return None
    status = dict(told["status"])
    code, message = status["code"], status.get("message")
    if not isinstance(code, str):
        return None
    return Envelope(
        code,
        says_yes=code == SUCCESS_CODE,
        says_no=code != SUCCESS_CODE,
        message=message if isinstance(message, str) else None,
        job_id=_job_id(told.get("data")),
    )


def _job_id(data: object) -> str | None:
    job_id = dict(data)["job_id"] if isinstance(data, tuple) and once(data, "job_id") else None
    return job_id if isinstance(job_id, str) and _JOB_ID.fullmatch(job_id) else None


FORM = Form(SUCCESS_CODE, read_envelope, meanings=MEANINGS, code_decides=True)
