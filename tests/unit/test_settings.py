"""The settings, read from environments good and bad."""

from __future__ import annotations

import re

import pytest

from cube_sms.platform.errors import SettingsError
from cube_sms.platform.settings import Settings

REQUIRED = {
    "CUBE_BASE_URL": "https://api-uat.io.linksfield.net/cube/v4",
    "CUBE_SECRET_ID": "cube-sms/credentials",
    "MESSAGES_TABLE": "cube-sms-messages",
    "SEND_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/send",
    "DEAD_LETTER_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/dead",
    "REJECTED_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/rejected",
}
SECONDS = ["CUBE_CONNECT_TIMEOUT", "CUBE_READ_TIMEOUT", "SECRET_MAX_AGE"]
LIMITS = ["CUBE_MAX_QPS", "CUBE_DAILY_QUOTA", "CUBE_MAX_CONNECTIONS"]
COUNTS = ["MAX_CONTENT_LENGTH", "MAX_ATTEMPTS", "QUEUE_SEND_CONCURRENCY", "RECORD_RETENTION_DAYS"]
# Each wrong value contains it, so that a test finds a fault that quotes the value.
MARK = "Zebra"


def faults_of(environment: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environment)
    assert MARK not in str(caught.value)
    assert all(f"{fault.path}: {fault.message}" in str(caught.value) for fault in caught.value.faults)
    return sorted(fault.path for fault in caught.value.faults)


def test_required_variables_alone_give_the_defaults() -> None:
    settings = Settings.from_environment(REQUIRED)

    assert settings.cube_base_url == REQUIRED["CUBE_BASE_URL"]
    assert settings.cube_secret_id == REQUIRED["CUBE_SECRET_ID"]
    assert settings.messages_table == REQUIRED["MESSAGES_TABLE"]
    assert settings.send_queue_url == REQUIRED["SEND_QUEUE_URL"]
    assert settings.dead_letter_queue_url == REQUIRED["DEAD_LETTER_QUEUE_URL"]
    assert settings.cube_max_qps == 10
    assert settings.cube_daily_quota == 5000
    assert settings.cube_quota_reserve_percent == 10
    assert settings.cube_max_connections == 3
    assert settings.cube_language == "zh-CN"
    assert settings.cube_timestamp_unit == "s"
    assert settings.cube_answer_codes == {}
    assert settings.keep_provider_messages is False
    assert settings.max_content_length == 140
    assert settings.queue_send_concurrency == 1
    assert settings.record_retention_days == 30


def test_every_variable_is_read() -> None:
    settings = Settings.from_environment(
        REQUIRED
        | {
            "CUBE_MAX_QPS": "25",
            "CUBE_DAILY_QUOTA": "100000",
            "CUBE_QUOTA_RESERVE_PERCENT": "0",
            "CUBE_MAX_CONNECTIONS": "8",
            "CUBE_CONNECT_TIMEOUT": "1.5",
            "CUBE_READ_TIMEOUT": "20",
            "CUBE_LANGUAGE": "en-US",
            "CUBE_TIMESTAMP_UNIT": "ms",
            "CUBE_ANSWER_CODES": '{"throttled": ["9429"], "unavailable": ["CB-99-9500", "HTTP 503"]}',
            "KEEP_PROVIDER_MESSAGES": "true",
            "MAX_CONTENT_LENGTH": "70",
            "MAX_ATTEMPTS": "3",
            "QUEUE_SEND_CONCURRENCY": "2",
            "SECRET_MAX_AGE": "0.25",
            "RECORD_RETENTION_DAYS": "90",
        }
    )

    assert settings.cube_max_qps == 25
    assert settings.cube_daily_quota == 100_000
    assert settings.cube_quota_reserve_percent == 0
    assert settings.cube_max_connections == 8
    assert settings.cube_connect_timeout == 1.5
    assert settings.cube_read_timeout == 20.0
    assert settings.cube_language == "en-US"
    assert settings.cube_timestamp_unit == "ms"
    assert settings.cube_answer_codes == {
        "9429": "throttled",
        "CB-99-9500": "unavailable",
        "HTTP 503": "unavailable",
    }
    assert settings.keep_provider_messages is True
    assert settings.max_content_length == 70
    assert settings.max_attempts == 3
    assert settings.queue_send_concurrency == 2
    assert settings.secret_max_age == 0.25
    assert settings.record_retention_days == 90


def test_variables_of_others_are_passed_over() -> None:
    other = {"PATH": "/bin", "AWS_REGION": "eu-central-1", "cube_language": "fr", "CUBE_COLOUR": MARK}
    assert Settings.from_environment(REQUIRED | other) == Settings.from_environment(REQUIRED)


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_blank_variable_is_one_that_is_not_there(blank: str) -> None:
    optional = dict.fromkeys(["CUBE_LANGUAGE", "MAX_ATTEMPTS", "SECRET_MAX_AGE"], blank)
    assert Settings.from_environment(REQUIRED | optional) == Settings.from_environment(REQUIRED)
    assert faults_of(dict.fromkeys(REQUIRED, blank)) == sorted(REQUIRED)


def test_white_space_around_a_value_is_not_part_of_it() -> None:
    padded = {
        name: f" {value}\n" for name, value in (REQUIRED | {"MAX_ATTEMPTS": "3", "CUBE_LANGUAGE": "en-US"}).items()
    }
    settings = Settings.from_environment(padded)

    assert settings.cube_base_url == REQUIRED["CUBE_BASE_URL"]
    assert settings.max_attempts == 3
    assert settings.cube_language == "en-US"


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize(
    "value", ["0", "0.0", "-1", "+1", "1e3", "inf", "nan", "1s", ".5", "5.", "1,5", "1_0", "٣", "9" * 10, MARK]
)
def test_seconds_are_a_plain_number_greater_than_zero(name: str, value: str) -> None:
    assert faults_of(REQUIRED | {name: value}) == [name]


@pytest.mark.parametrize("name", LIMITS)
def test_limit_of_zero_is_none(name: str) -> None:
    assert getattr(Settings.from_environment(REQUIRED | {name: "0"}), name.lower()) == 0


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize(
    "value", ["00", "-0", "-1", "+1", "0.0", "1.5", "007", "1e3", "0x10", "1_0", "٣", "9" * 10, "none", MARK]
)
def test_limits_are_whole_numbers_or_zero(name: str, value: str) -> None:
    assert faults_of(REQUIRED | {name: value}) == [name]


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", ["0", "-1", "+1", "1.0", "1.5", "007", "1e3", "0x10", "1_0", "٣", "9" * 5000, MARK])
def test_counts_are_whole_numbers_of_at_least_one(name: str, value: str) -> None:
    assert faults_of(REQUIRED | {name: value}) == [name]


@pytest.mark.parametrize(
    ("name", "value"),
    [("CUBE_LANGUAGE", value) for value in ("en", "EN-us", "zh-cn", "en-US,zh-CN", MARK)]
    + [("CUBE_TIMESTAMP_UNIT", value) for value in ("S", "sec", "us", MARK)]
    + [("KEEP_PROVIDER_MESSAGES", value) for value in ("True", "yes", "1", MARK)],
)
def test_choices_are_taken_as_they_are_spelled(name: str, value: str) -> None:
    assert faults_of(REQUIRED | {name: value}) == [name]


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (MARK, ""),
        ("[]", ""),
        ("null", ""),
        ("[" * 5000, ""),
        ('{"throttled": ["9429"]', ""),
        (f'{{"{MARK}": ["9429"]}}', ""),
        ('{"throttled": "9429"}', ""),
        ('{"throttled": [9429]}', ""),
        ('{"authentication": ["9401", ""]}', "authentication[1]"),
        (f'{{"authentication": ["{MARK} "]}}', "authentication[0]"),
        ('{"throttled": ["HTTP 302"]}', "throttled[0]"),
        ('{"throttled": ["http 503"]}', "throttled[0]"),
        (f'{{"throttled": ["{"9" * 33}"]}}', "throttled[0]"),
        ('{"throttled": ["9429"], "unavailable": ["9429"]}', "unavailable[0]"),
    ],
)
def test_codes_are_three_lists_and_a_fault_names_its_place(value: str, where: str) -> None:
    assert faults_of(REQUIRED | {"CUBE_ANSWER_CODES": value}) == ["CUBE_ANSWER_CODES"]
    with pytest.raises(SettingsError, match=re.escape(f"CUBE_ANSWER_CODES: {where}")):
        Settings.from_environment(REQUIRED | {"CUBE_ANSWER_CODES": value})


@pytest.mark.parametrize("value", ["{}", '{"throttled": []}', '{"authentication":[],"throttled":[],"unavailable":[]}'])
def test_lists_of_codes_may_be_empty(value: str) -> None:
    assert Settings.from_environment(REQUIRED | {"CUBE_ANSWER_CODES": value}) == Settings.from_environment(REQUIRED)


def test_every_fault_is_reported_at_once() -> None:
    # Given an environment in which nothing is right
    wrong = dict.fromkeys([*SECONDS, *COUNTS, *LIMITS, "CUBE_LANGUAGE", "CUBE_TIMESTAMP_UNIT"], MARK)

    # Then what is wrong and what is missing are in one error
    assert faults_of(wrong) == sorted([*wrong, *REQUIRED])
