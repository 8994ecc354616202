"""What an operator gives as a time, and what a terminal is given of foreign text."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from cube_sms_cli.output import MOST_CHARACTERS, escaped, printable
from cube_sms_cli.times import moment

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(st.datetimes(timezones=st.timezones()))
def test_a_time_with_an_offset_is_read(time: datetime) -> None:
    assert moment(time.isoformat()) == time.astimezone(UTC)


@pytest.mark.parametrize("text", ["yesterday", "2027-01-31", "2027-01-31T12:00:00", "1800000000", "", "12:00Z"])
def test_what_is_no_time_with_an_offset_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="no time with an offset"):
        moment(text)


@given(ANY_TEXT)
def test_json_stays_what_it_is_and_a_terminal_obeys_none_of_it(text: str) -> None:
    shown = escaped(json.dumps({"text": text}, ensure_ascii=False))
    assert json.loads(shown) == {"text": text}
    assert shown.isprintable()


@given(ANY_TEXT)
def test_a_cell_is_a_short_line_that_a_terminal_does_not_obey(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) <= MOST_CHARACTERS + 1
