"""The form of the answers of csss. The provider publishes only the code of success."""

from __future__ import annotations

from cube_sms.provider.answers import Envelope, Form, once, read_members

SUCCESS_CODE = "0000"


def read_envelope(body: bytes) -> Envelope | None:
    """Return what an answer says, if it is legible.

    Only the provider's words may be garbled. All else is read strictly: one JSON object that has ``code``, a string,
    and ``success``, a boolean, once each.

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
    >>> read_envelope('{"code":"9404","message":"设备不存在","success":false}'.encode("gbk"))
    Envelope(code='9404', says_yes=False, says_no=True, message='设备不存在', job_id=None)
    """
    members = read_members(body)
    if members is None or not once(members, "code", "success"):
        return None
    told = dict(members)
    code, success, message = told["code"], told["success"], told.get("message")
    if not (isinstance(code, str) and isinstance(success, bool)):
        return None
    is_success_code = code == SUCCESS_CODE
    return Envelope(
        code,
        says_yes=success and is_success_code,
        says_no=not success and not is_success_code,
        message=message if isinstance(message, str) else None,
    )


FORM = Form(SUCCESS_CODE, read_envelope, meanings={}, code_decides=False)
