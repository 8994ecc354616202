"""The file of a campaign: its head and its rows, or why it is invalid."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from cube_sms.request import FIELDS

from .csv import read_records
from .errors import InvalidCampaignError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .csv import Record

# A cell holds a text, and no array; and the task that waits for a row is the state machine's own, and for no reply.
NO_COLUMNS = frozenset({"smsContentList", "priority", "taskToken", "awaitReply"})

# Columns that are fields of a send request, and the one that is required.
COLUMNS = tuple(name for name in FIELDS if name not in NO_COLUMNS)
DEVICE = "deviceId"
CONTENT = "content"

# The header has to end within so many characters.
_MAX_HEAD = 65_536

# In this order, if the header fits more than one: then it has a single column.
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}

# Excel's own form to name the delimiter, in a line before the header.
_SEP_LINE = re.compile(r'sep=([^"\r\n])(?:\r\n|\r|\n)', re.IGNORECASE)

_MARK = "\ufeff"
_MOST_SHOWN = 20
WANTED = (
    f'A campaign\'s file is CSV in UTF-8 (in Excel: "CSV UTF-8"). Its first line names the columns: "{DEVICE}", and '
    f'"{CONTENT}" if the campaign\'s input has no content. Between them is a comma, a semicolon or a tab'
)


class CampaignFile(NamedTuple):
    """A campaign's file whose head has been read.

    Parameters
    ----------
    prefix : str
        What precedes the header: a byte order mark, and a line that names the delimiter; or nothing.
    delimiter : str
        The character between two cells.
    columns : list[str]
        Their names, as the file has them.
    fields : dict[str, int]
        The column of each field of a send request.
    records : Iterator[Record]
        The records below the header that are not empty. They raise `InvalidCampaignError` if the file is not UTF-8, or
        if a quote is never closed.
    """

    prefix: str
    delimiter: str
    columns: list[str]
    fields: dict[str, int]
    records: Iterator[Record]


def read_campaign_file(chunks: Iterable[bytes], *, needs_content: bool) -> CampaignFile:
    r"""Read the head of a campaign's file.

    Parameters
    ----------
    chunks : Iterable[bytes]
        The file, in pieces of any size.
    needs_content : bool
        Whether the rows have to have a content of their own.

    Returns
    -------
    CampaignFile
        The file, with its records still to be read.

    Raises
    ------
    InvalidCampaignError
        If the file is invalid: with what was found, and what is wanted.

    Examples
    --------
    >>> file = read_campaign_file([b"DeviceID;Site\r\n8931;Oslo\r\n"], needs_content=False)
    >>> file.fields, [record.cells for record in file.records]
    ({'deviceId': 0}, [['8931', 'Oslo']])
    """
    text = _decoded(iter(chunks))
    head = ""
    while len(head) < _MAX_HEAD and (chunk := next(text, None)) is not None:
        head += chunk
    body = head.lstrip(_MARK)
    prefix = _MARK if head.startswith(_MARK) else ""
    named = _SEP_LINE.match(body)
    if named:
        prefix, body = prefix + named[0], body[named.end() :]
    headers = {delimiter: _header(body, delimiter) for delimiter in ([named[1]] if named else _DELIMITERS)}
    delimiter = max(headers, key=lambda delimiter: _proof(headers[delimiter]))
    columns = headers[delimiter]
    if DEVICE not in _fields(columns) and not all(headers.values()):
        raise InvalidCampaignError(
            f"The file is empty, or a quote in its first line is never closed. {WANTED}", "header"
        )
    _check(columns, delimiter, needs_content=needs_content)
    filled = (record for record in read_records(chain([body], text), delimiter) if not record.is_empty)
    if next(filled).cells != columns:
        raise InvalidCampaignError(f"The first line has more than {_MAX_HEAD} characters. {WANTED}", "header")
    return CampaignFile(prefix, delimiter, columns, _fields(columns), filled)


def normalized(name: str) -> str:
    """Return a column's name in the form in which names are compared.

    Examples
    --------
    >>> normalized(" DeviceID ")
    'deviceid'
    """
    return name.strip().casefold()


def _decoded(chunks: Iterator[bytes]) -> Iterator[str]:
    start = b""
    while len(start) < 4 and (chunk := next(chunks, b"")):
        start += chunk
    if start.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise InvalidCampaignError(f"The file is an Excel workbook, or another archive. {WANTED}", "encoding")
    if b"\0" in start[:4] or start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidCampaignError(f"The file is UTF-16, not UTF-8. {WANTED}", "encoding")
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    for chunk in chain([start], chunks, [b""]):
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            found = f"byte 0x{error.object[error.start]:02X} in line {line}"
            raise InvalidCampaignError(f"The file is not UTF-8 ({found}). {WANTED}", "encoding") from None
        line += text.count("\n")
        yield text


def _header(head: str, delimiter: str) -> list[str]:
    try:
        return next((record.cells for record in read_records([head], delimiter) if not record.is_empty), [])
    except InvalidCampaignError:
        return []


def _proof(columns: Sequence[str]) -> tuple[bool, int, int]:
    fields = _fields(columns)
    return DEVICE in fields, len(fields), len(columns)


_FIELD_OF_NAME = {normalized(name): name for name in COLUMNS}


def _fields(columns: Sequence[str]) -> dict[str, int]:
    names = map(_FIELD_OF_NAME.get, map(normalized, columns))
    return {name: index for index, name in enumerate(names) if name}


def _check(columns: Sequence[str], delimiter: str, *, needs_content: bool) -> None:
    shown = ", ".join(f'"{name.strip()[:64]}"' for name in columns[:_MOST_SHOWN])
    more = f" and {len(columns) - _MOST_SHOWN} more" if len(columns) > _MOST_SHOWN else ""
    named = _DELIMITERS.get(delimiter, f'"{delimiter}"')
    found = f"The columns of the first line are {shown}{more} (delimiter: {named})"
    wanted = [DEVICE, CONTENT] if needs_content else [DEVICE]
    missing = [f'no "{name}"' for name in wanted if name not in _fields(columns)]
    names = Counter(map(normalized, columns))
    twice = [f'"{field}" more than once' for name, field in _FIELD_OF_NAME.items() if names[name] > 1]
    # Such as "expires_at": if the column were ignored, a message could be sent too late.
    similar_names = {re.sub(r"[\W_]", "", name) for name in names if name not in _FIELD_OF_NAME}
    similar = [f'"{field}" in another spelling' for name, field in _FIELD_OF_NAME.items() if name in similar_names]
    if faults := missing + twice + similar:
        raise InvalidCampaignError(f"{found}: {', '.join(faults)}. {WANTED}", "header")
