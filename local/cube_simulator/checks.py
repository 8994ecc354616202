"""The checks of a sendSms request, in the provider's order, each ending in the status the provider documents."""

from local.cube_simulator import signature
from local.cube_simulator.answers import RefusedError
from local.cube_simulator.config import Config

CLOCK_TOLERANCE = 600
MAX_ITEMS = 10
_REQUIRED = ("version", "access_code", "timestamp", "sign", "deviceId")
_ITEM_FIELDS = ("smsTemplateContent", "smsType", "smsNum")


def check(raw: bytes, content_type: str, config: Config, now: float) -> None:
    """Check a request whole.

    Raises
    ------
    RefusedError
        With the reason of the first check that fails.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise RefusedError("content-type")
    try:
        parameters = signature.parse(raw)
        text = signature.signed_text(parameters)
    except (ValueError, RecursionError) as error:
        raise RefusedError("json", str(error)) from None
    if fault := _fault_in_fields(parameters):
        raise RefusedError("fields", fault)
    secrets = config.accounts.get(str(parameters["access_code"]))
    if secrets is None:
        raise RefusedError("access-code")
    seconds = int(str(parameters["timestamp"])) / (1000 if config.timestamp_unit == "ms" else 1)
    if abs(now - seconds) > CLOCK_TOLERANCE:
        raise RefusedError("timestamp")
    sign = str(parameters["sign"])
    if not signature.is_signed(text, sign, secrets):
        raise RefusedError("signature")
    if not config.lenient_body and not signature.is_canonical(raw, text, sign):
        raise RefusedError("body")
    refuse_devices([str(parameters["deviceId"])], config)


def refuse_devices(devices: list[str], config: Config) -> None:
    """Refuse a query to devices of which one is not known, or belongs to others.

    Raises
    ------
    RefusedError
        With the reason.
    """
    if not config.unknown_devices.isdisjoint(devices):
        raise RefusedError("device")
    if not config.foreign_devices.isdisjoint(devices):
        raise RefusedError("foreign-device")


def _fault_in_fields(parameters: signature.Parameters) -> str | None:
    """Return what is wrong with the fields, or None."""
    for name in _REQUIRED:
        value = parameters.get(name)
        if not isinstance(value, str) or not value:
            return f"{name} must be a string, not empty"
    if parameters["version"] != "2.0":
        return 'version must be "2.0"'
    timestamp = str(parameters["timestamp"])
    # Thirteen digits are milliseconds until the year 2286; isdigit alone would take other scripts' digits.
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 16):
        return "timestamp must be digits"
    if parameters.get("messageType") not in ("Text", "Binary", None):
        return "messageType must be Text or Binary"
    items = parameters.get("smsContentList")
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_ITEMS:
        return f"smsContentList must be an array of 1 to {MAX_ITEMS}"
    return next(filter(None, map(_fault_in_item, items)), None)


def _fault_in_item(item: object) -> str | None:
    if not isinstance(item, dict):
        return "smsContentList must hold objects"
    for name in _ITEM_FIELDS:
        if not isinstance(item.get(name), str | None):
            return f"smsContentList.{name} must be a string"
    return None
