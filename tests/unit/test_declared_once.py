"""What is declared in one place and has to be named in another, where nothing else would miss it: CONTRIBUTING.md."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import msgspec

from cube_sms.campaigns.files import FIELDS
from cube_sms.delivery import State
from cube_sms.request import SendRequest
from local.demo import EXPECTED
from tests.streams import template_filters
from tests.support import EVENTS

ROOT = Path(__file__).parents[2]

# Fields of a request that a cell of a campaign's file cannot hold, or that are not its sender's.
NO_COLUMNS = {"smsContentList", "taskToken"}
# Files that are no message: what a rule is made of.
NOT_SENT = {"outcome-pattern"}


def test_every_final_state_passes_the_filter_of_the_stream() -> None:
    # Lambda leaves out what does not pass, and nobody would be told of it
    images = [json.loads(each["Pattern"])["dynamodb"]["NewImage"] for each in template_filters()]
    passed = {state for image in images for state in image.get("state", {}).get("S", [])}
    assert passed == {state.value for state in State if state.is_final}


def test_every_field_of_a_request_is_a_column_of_a_campaign_or_cannot_be() -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(SendRequest)}
    assert {*FIELDS} | NO_COLUMNS == fields


def test_demo_sends_every_sample_event() -> None:
    assert EXPECTED.keys() == {path.stem for path in EVENTS.glob("*.json")} - NOT_SENT


def test_types_of_every_handler_are_checked() -> None:
    # Each is a module `app`, so that mypy has to be told of each
    checked = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]["files"]
    handlers = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("functions/*/app.py")}
    assert {path for path in checked if path.startswith("functions/")} == handlers
