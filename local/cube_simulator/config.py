"""The simulator's configuration, one form for the command line and for the administrative API."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Self
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from local.cube_simulator.faults import Fault, Script


class ConfigError(ValueError):
    """A setting is not valid; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Config:
    """The settings. Their JSON names are these in camelCase; a limit of 0 is off."""

    qps: int = 10
    connections: int = 3
    quota: int = 5000
    latency: float = 0.0
    keep_alive: float = 60.0
    retry_after: str = "seconds"
    timestamp_unit: str = "s"
    key_order: str = "sorted"
    escape_slashes: bool = False
    escape_non_ascii: bool = False
    lenient_body: bool = False
    envelope_only: bool = False
    accounts: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"P002276": ("test-secret",)})
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    signed_spaces: str = "keep"
    unknown_devices: frozenset[str] = frozenset()
    foreign_devices: frozenset[str] = frozenset()
    sent_statuses: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    receipt_delay: float = 0.0
    receipt_delays: Mapping[str, float] = field(default_factory=dict)
    faults: Mapping[Fault, float] = field(default_factory=dict)
    device_faults: Mapping[str, Script] = field(default_factory=dict)
    next_faults: list[Script] = field(default_factory=list)
    reply_devices: Mapping[str, str] = field(default_factory=dict)
    callback_url: str = ""
    callback_v4_url: str = ""
    callback_key_id: str = ""
    callback_key: str = ""
    callback_ca: str = ""
    callback_tries: int = 3
    callback_pause: float = 0.5

    def changed(self, changes: Mapping[str, object]) -> Self:
        """Return the configuration with some settings replaced, given under their JSON names.

        Raises
        ------
        ConfigError
            For the first setting that is unknown or not valid; nothing is changed then.
        """
        values: dict[str, object] = {}
        for name, value in changes.items():
            if name not in _READERS:
                raise ConfigError(f"{name}: no such setting; there are {', '.join(_READERS)}")
            try:
                values[re.sub("[A-Z]", lambda capital: "_" + capital[0].lower(), name)] = _READERS[name](value)
            except ValueError as error:
                raise ConfigError(f"{name}: {error}") from None
        return replace(self, **values)  # type: ignore[arg-type]  # each reader returns its field's type

    def shown(self) -> dict[str, object]:
        """Return the settings under their JSON names, with the number of each account's secrets in place of them.

        Of each URL for callbacks it shows only whether there is one, because a URL ends in a token.
        """
        special: dict[str, object] = {
            "accounts": {code: len(secrets) for code, secrets in self.accounts.items()},
            "keys": {key_id: len(keys) for key_id, keys in self.keys.items()},
            "unknown_devices": sorted(self.unknown_devices),
            "foreign_devices": sorted(self.foreign_devices),
            "faults": {str(fault): rate for fault, rate in self.faults.items()},
            "device_faults": {device: str(script) for device, script in self.device_faults.items()},
            "callback_url": bool(self.callback_url),
            "callback_v4_url": bool(self.callback_v4_url),
            "callback_key": bool(self.callback_key),
            "next_faults": [str(script) for script in self.next_faults if not script.over],
        }
        return {camel_case(each.name): special.get(each.name, getattr(self, each.name)) for each in fields(self)}


def camel_case(name: str) -> str:
    """Return the JSON name of a setting."""
    return re.sub("_([a-z])", lambda letter: letter[1].upper(), name)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("must be a whole number, 0 or more")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError("must be a number, 0 or more")
    return float(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _one_of(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return str(value)

    return read


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) and text for text in value):
        raise ValueError("must be a list of strings, none empty")
    return tuple(value)


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def _loopback_url(value: object) -> str:
    url = _text(value)
    if url and urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ValueError("must be a URL of this machine: the simulator calls only this machine")
    return url


def _accounts(value: object) -> dict[str, tuple[str, ...]]:
    accounts = {
        code: _texts([secrets] if isinstance(secrets, str) else secrets) for code, secrets in _mapping(value).items()
    }
    if not all(accounts.values()):
        raise ValueError("each account must have a secret")
    return accounts


def _keys(value: object) -> dict[str, tuple[str, ...]]:
    keys = {key_id: _texts([pems] if isinstance(pems, str) else pems) for key_id, pems in _mapping(value).items()}
    if not all(keys.values()):
        raise ValueError("each account must have a key")
    for pem in (pem for pems in keys.values() for pem in pems):
        try:
            is_rsa = isinstance(load_pem_public_key(pem.encode()), RSAPublicKey)
        except (ValueError, UnsupportedAlgorithm):
            is_rsa = False
        if not is_rsa:
            raise ValueError("must be RSA public keys in PEM form")
    return keys


def _statuses(value: object) -> dict[str, tuple[int, ...]]:
    statuses = {
        device: tuple(_whole(each) for each in (given if isinstance(given, list) else [given]))
        for device, given in _mapping(value).items()
    }
    if not all(each and set(each) <= {1, 2, 3} for each in statuses.values()):
        raise ValueError("must be 1 (success), 2 (failed) or 3 (processing) for each device, or a list of these")
    return statuses


def _rates(value: object) -> dict[Fault, float]:
    rates = {Fault.parse(text): _number(rate) for text, rate in _mapping(value).items()}
    if sum(rates.values()) > 1 + 1e-9:
        raise ValueError("the rates must not add up to more than 1")
    return rates


_READERS: dict[str, Callable[[object], object]] = {
    "qps": _whole,
    "connections": _whole,
    "quota": _whole,
    "latency": _number,
    "keepAlive": _number,
    "retryAfter": _one_of("seconds", "date", "none"),
    "timestampUnit": _one_of("s", "ms"),
    "keyOrder": _one_of("sorted", "page"),
    "escapeSlashes": _flag,
    "escapeNonAscii": _flag,
    "lenientBody": _flag,
    "envelopeOnly": _flag,
    "accounts": _accounts,
    "keys": _keys,
    "signedSpaces": _one_of("keep", "remove"),
    "unknownDevices": lambda value: frozenset(_texts(value)),
    "foreignDevices": lambda value: frozenset(_texts(value)),
    "sentStatuses": _statuses,
    "receiptDelay": _number,
    "receiptDelays": lambda value: {device: _number(given) for device, given in _mapping(value).items()},
    "faults": _rates,
    "deviceFaults": lambda value: {device: Script.parse(_text(text)) for device, text in _mapping(value).items()},
    "replyDevices": lambda value: {device: _text(text) for device, text in _mapping(value).items()},
    "callbackUrl": _loopback_url,
    "callbackV4Url": _loopback_url,
    "callbackKeyId": _text,
    "callbackKey": _text,
    "callbackCa": _text,
    "callbackTries": _whole,
    "callbackPause": _number,
    "nextFaults": lambda value: [Script.parse(text, times=1) for text in _texts(value)],
}
