"""The limits: of parameters, of a send request, of the resources, and of the code's constants."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cube_sms.request.schema import send_request_schema

from .docstrings import comment_above, modules, remarks
from .markdown import PROJECT, code, prose, section, table
from .templates import application, template

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

_SECONDS = "seconds"
_BYTES = "bytes"
_CHARACTERS = "characters"
_SHARE = "share"

# The unit of a constant whose name ends so. The longest ending decides.
_UNITS = {
    "SECONDS": _SECONDS,
    "PAUSE": _SECONDS,
    "PAUSES": _SECONDS,
    "PATIENCE": _SECONDS,
    "MARGIN": _SECONDS,
    "TOLERANCE": _SECONDS,
    "RETRY_AFTER": _SECONDS,
    "LONGEST_WAIT": _SECONDS,
    "MAX_AGE": _SECONDS,
    "LONGEST": _SECONDS,
    "OLDEST": _SECONDS,
    "FURTHEST_AHEAD": _SECONDS,
    "LOOK_AHEAD": _SECONDS,
    "shift.AHEAD": _SECONDS,
    "LEAST_CLOSED": _SECONDS,
    "WINDOW": _SECONDS,
    "HANDOVER": _SECONDS,
    "MIN_SLACK": _SECONDS,
    "REPEATS_WITHIN": _SECONDS,
    "MAX_AWAIT_REPLY": _SECONDS,
    "BYTES": _BYTES,
    "MAX_BODY": _BYTES,
    "LENGTH": _CHARACTERS,
    "DIGITS": "digits",
    "MAX_ROW": _CHARACTERS,
    "MOST_REASON": _CHARACTERS,
    "MOST_CHARACTERS": _CHARACTERS,
    "SHARE": _SHARE,
    "THREADS_PER_CONNECTION": "",
}

# No limits, but units of others.
_NO_LIMITS = {"MINUTE", "HOUR", "DAY"}

_SETTINGS = {
    "MessageRetentionPeriod": _SECONDS,
    "VisibilityTimeout": _SECONDS,
    "maxReceiveCount": "receives",
    "Timeout": _SECONDS,
    "BatchSize": "records",
    "MaximumRecordAgeInSeconds": _SECONDS,
    "ThrottlingRateLimit": "calls a second",
    "ThrottlingBurstLimit": "calls",
}
"""The properties of resources that are limits."""

_STEPS = [("d", 86_400), ("h", 3600), ("min", 60)]


def limits() -> str:
    """Return all limits, from those that a deployment sets to those that only a developer meets."""
    core = template("template.yaml")
    ranges = [
        [code(name), code(each["Default"]), found[1], prose(each["Description"])]
        for name, each in core["Parameters"].items()
        if (found := re.search(r"whole number (from .*)", each.get("ConstraintDescription", "")))
    ]
    fields = [[code(name), prose(each["description"])] for name, each in send_request_schema()["properties"].items()]
    shares = [
        [total, each["Invocations"], each["Threads"], each["Api"]]
        for total, each in core["Mappings"]["Connections"].items()
    ]
    return (
        section("Parameters with a range", table(["set by", "default", "range", ""], ranges))
        + section("A send request", table(["part", "limit"], fields))
        + section(
            "Connections to the provider",
            "0 stands for no limit.",
            table(["`CubeMaxConnections`", "queue: invocations", "queue: threads of each", "API"], shares),
        )
        + section("Resources", table(["resource", "property", "value", "why"], _settings()))
        + "".join(_package(name, found) for name, found in _packages().items())
    )


def _settings() -> Iterator[list[str]]:
    for file in application():
        whole = template(file)
        comments = _comments((PROJECT / file).read_text("utf-8").splitlines())
        owners = {**whole.get("Globals", {}), **{name: each["Properties"] for name, each in whole["Resources"].items()}}
        for owner, properties in owners.items():
            named = code(owner) if owner in whole["Resources"] else f"every function of `{file}`"
            for name, value in _values(properties):
                yield [named, code(name), shown(value, _SETTINGS[name]), comments.get((owner, name), "")]


def _values(node: Any) -> Iterator[tuple[str, int]]:
    """Yield the properties that are limits, at any depth."""
    for each in node if isinstance(node, list) else []:
        yield from _values(each)
    for name, value in node.items() if isinstance(node, dict) else []:
        if name in _SETTINGS and isinstance(value, int):
            yield name, value
        else:
            yield from _values(value)


def _comments(lines: list[str]) -> dict[tuple[str, str], str]:
    """Return the comments right above the properties of a template, by resource and property."""
    found = {}
    owner = ""
    for number, line in enumerate(lines):
        if resource := re.match(r"  (\w+):$", line):
            owner = resource[1]
        if number and lines[number - 1].lstrip().startswith("#"):
            comment = prose(comment_above(lines[number - 1 :: -1]))
            found.update({(owner, name): comment for name in re.findall(r"\b(\w+): ", line)})
    return found


def _packages() -> dict[str, list[ModuleType]]:
    found: dict[str, list[ModuleType]] = {}
    for module in modules():
        found.setdefault(module.__name__.split(".")[1], []).append(module)
    return found


def _package(name: str, found: list[ModuleType]) -> str:
    rows = [row for module in found for row in _constants(module)]
    return section(f"Constants of `{name}`", table(["constant", "value", "why"], rows)) if rows else ""


def _constants(module: ModuleType) -> Iterator[list[str]]:
    """Yield the constants of a module; those of one comment together.

    Raises
    ------
    ValueError
        If a constant has no comment, or a time has no unit.
    """
    path = module.__name__.removeprefix("cube_sms.")
    together: dict[str, list[str]] = {}
    for name, remark in remarks(module).items():
        if name.startswith("_") or name in _NO_LIMITS or not _is_limit(getattr(module, name, None)):
            continue
        if not remark:
            raise ValueError(f"{path}.{name} needs a comment that says why")
        together.setdefault(remark, []).append(name)
    for remark, names in together.items():
        values = ", ".join(
            shown(getattr(module, name), _unit(f"{path}.{name}", getattr(module, name))) for name in names
        )
        yield [code(*(f"{path}.{name}" for name in names)), values, remark]


def _is_limit(value: Any) -> bool:
    values = value if isinstance(value, tuple) else (value,)
    return bool(values) and all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)


def _unit(name: str, value: Any) -> str:
    endings = sorted((each for each in _UNITS if name.endswith(each)), key=len)
    if not endings and isinstance(value, float | tuple):
        raise ValueError(f"{name} needs a unit in scripts/reference/limits.py")
    return _UNITS[endings[-1]] if endings else ""


def shown(value: float | tuple[float, ...], unit: str) -> str:
    """Return a value with its unit, as people read it.

    Examples
    --------
    >>> shown(5400, "seconds"), shown(0.25, "seconds"), shown(0.25, "share"), shown(65_536, "bytes")
    ('1 h 30 min', '250 ms', '25 %', '64 KiB')
    >>> shown((0.5, 2.0), "seconds"), shown(1_000_000, ""), shown(200, "calls")
    ('500 ms, 2 s', '1,000,000', '200 calls')
    """
    if isinstance(value, tuple):
        return ", ".join(shown(each, unit) for each in value)
    if unit == _SECONDS:
        return _time(value)
    if unit == _SHARE:
        return f"{value:.0%}".replace("%", " %")
    if unit == _BYTES:
        return (
            f"{value // 1024**2} MiB" if value >= 1024**2 else f"{value // 1024} KiB" if value >= 1024 else f"{value} B"
        )
    return f"{value:,} {unit}".strip()


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:g} ms"
    parts, left = [], seconds
    for name, length in _STEPS:
        count, left = divmod(left, length)
        parts += [f"{count:g} {name}"] if count else []
    return " ".join([*parts, *([f"{left:g} s"] if left else [])])
