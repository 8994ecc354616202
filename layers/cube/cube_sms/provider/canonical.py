"""The one JSON text of a request's parameters, which the provider signs in each of its dialects.

This module is pure and imports the standard library alone.
"""

from __future__ import annotations

import re
from json import JSONEncoder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class CanonicalFormError(ValueError):
    """The parameters have no canonical JSON text, so a signature over them would mean nothing."""


# What is nested in itself is found before, when the keys are looked at.
_OPTIONS: dict[str, Any] = {
    "ensure_ascii": False,
    "check_circular": False,
    "allow_nan": False,
    "separators": (",", ":"),
}
_ENCODER = JSONEncoder(**_OPTIONS)
_SORTING_ENCODER = JSONEncoder(**_OPTIONS, sort_keys=True)

# Unicode's control characters (category Cc) except \n, \r and \t, in the encoder's output. It has those below U+0020 as
# \b, \f or \u00XX behind an even number of backslashes, and the others (U+007F to U+009F) as themselves. JSON libraries
# print both kinds differently, so the two sides may sign different texts.
_CONTROL = re.compile(r"[\x7f-\x9f]|(?<!\\)(?:\\\\)*\\(?:[bf]|u00)")


def canonical_json(parameters: Mapping[str, Any], *, sorts_every_level: bool = False) -> bytes:
    r"""Return the one JSON text of the parameters.

    Top-level parameters that are ``None`` or ``""`` are left out and the others sorted by the bytes of their key. The
    text is compact UTF-8, with non-ASCII characters and ``/`` as themselves.

    Parameters
    ----------
    parameters : Mapping[str, Any]
        JSON values with string keys at every level.
    sorts_every_level : bool
        Whether the keys below the top level are sorted too. Nothing is left out there.

    Returns
    -------
    bytes
        The UTF-8 text.

    Raises
    ------
    CanonicalFormError
        If a value has no canonical form: NaN, an infinity, a lone surrogate, or a value that is not JSON. Also for a
        key that is no string, and for control characters other than ``\n``, ``\r`` and ``\t``. The message quotes no
        value.

    Examples
    --------
    >>> canonical_json({"version": "2.0", "deviceId": "8931", "messageType": None})
    b'{"deviceId":"8931","version":"2.0"}'
    >>> canonical_json({"message": {"type": 1, "content": "Hi"}}, sorts_every_level=True)
    b'{"message":{"content":"Hi","type":1}}'
    """
    try:
        parameters = dict(parameters)
        _refuse_keys_that_are_no_strings(parameters)
        # Python's order of strings, by code point, is the order of their UTF-8 bytes.
        content = {key: value for key in sorted(parameters) if (value := parameters[key]) or value not in (None, "")}
        text = (_SORTING_ENCODER if sorts_every_level else _ENCODER).encode(content)
        # The two searches of plain strings spare nearly every request the regular expression.
        if ("\\" in text or "\x7f" in text or not text.isascii()) and _CONTROL.search(text):
            raise CanonicalFormError("a control character other than \\n, \\r and \\t has no canonical form")
        return text.encode()
    except UnicodeEncodeError:
        raise CanonicalFormError("a lone surrogate has no canonical form") from None
    except (TypeError, AttributeError):
        raise CanonicalFormError("only JSON values with string keys have a canonical form") from None
    except RecursionError:
        raise CanonicalFormError("a value is nested too deeply or in itself") from None
    except CanonicalFormError:
        raise
    except ValueError:
        raise CanonicalFormError("a number that is NaN, infinite or too long has no canonical form") from None


def _refuse_keys_that_are_no_strings(value: object) -> None:
    # The encoder would print the key 1 as "1" without a word.
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError
            if item.__class__ is not str:
                _refuse_keys_that_are_no_strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            if item.__class__ is not str:
                _refuse_keys_that_are_no_strings(item)
