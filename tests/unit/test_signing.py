"""The signature, held against vectors that the openssl command line made."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from cube_sms.provider.canonical import CanonicalFormError
from cube_sms.provider.csss.signing import sign, signed_body, text_to_sign

SECRET = "test-secret"
# Each refused value contains it, so that a test finds an error that quotes the value.
MARK = "Zebra"


class Vector(NamedTuple):
    """What the file holds: `canonical` was typed by hand, `sign` is what `command` printed."""

    name: str
    secret: str
    parameters: dict[str, Any]
    canonical: str
    sign: str
    command: str


VECTORS = [
    Vector(**vector)
    for vector in json.loads((Path(__file__).parent / "data" / "signing_vectors.json").read_text("utf-8"))
]
each_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)


@each_vector
def test_content_is_the_text_typed_by_hand(vector: Vector) -> None:
    assert text_to_sign(vector.parameters).decode() == vector.canonical


@each_vector
def test_signature_is_the_one_openssl_made(vector: Vector) -> None:
    assert sign(vector.parameters, vector.secret) == vector.sign


@each_vector
def test_body_is_the_content_with_the_signature_as_its_last_member(vector: Vector) -> None:
    # When the body is made
    body = signed_body(vector.parameters, vector.secret).decode()

    # Then its bytes are those of the content, with sign added at the end
    start = vector.canonical.removesuffix("}")
    comma = "" if start == "{" else ","
    assert body == f'{start}{comma}"sign":"{vector.sign}"}}'

    # And it reads back as the parameters that were not left out, and sign
    given = {name: value for name, value in vector.parameters.items() if value is not None and value != ""}
    read = json.loads(body)
    assert read == {**given, "sign": vector.sign}
    assert list(read)[-1] == "sign"


def test_commands_of_the_vectors_still_print_their_signatures() -> None:
    commands = VECTORS if shutil.which("openssl") else []
    for vector in commands:
        quoted = vector.canonical.replace("'", "'\\''")
        assert quoted in vector.command
        assert vector.secret in vector.command
        printed = subprocess.run(["sh", "-c", vector.command], capture_output=True, check=True)
        assert printed.stdout.decode() == vector.sign, vector.name


def test_every_vector_signs_something_of_its_own() -> None:
    assert len({vector.sign for vector in VECTORS}) == len(VECTORS)
    assert {len(base64.b64decode(vector.sign)) for vector in VECTORS} == {20}


def test_parameters_are_left_as_they_were() -> None:
    # Given parameters in no order, with some to be left out
    parameters: dict[str, Any] = {"b": "2", "a": None, "c": "", "list": [{"z": 1, "y": None}]}
    before = json.dumps(parameters)

    signed_body(parameters, SECRET)

    assert json.dumps(parameters) == before


def test_any_mapping_is_taken() -> None:
    parameters = MappingProxyType({"version": "2.0", "deviceId": "8931"})
    assert text_to_sign(parameters) == b'{"deviceId":"8931","version":"2.0"}'


@pytest.mark.parametrize("text", ["\n", "\r", "\t", "\r\n", "\\u0001", "\\\\u0001", "\\b", "\\f", "\\", '\\"', "u0001"])
def test_text_that_only_looks_like_a_control_character_is_signed(text: str) -> None:
    assert json.loads(text_to_sign({"text": text, text: "value"})) == {"text": text, text: "value"}


CONTROL_CHARACTERS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\r\t"]


def assert_refused(parameters: Any) -> None:
    for function in (text_to_sign, lambda given: sign(given, SECRET), lambda given: signed_body(given, SECRET)):
        with pytest.raises(CanonicalFormError) as caught:
            function(parameters)
        assert MARK not in str(caught.value)
        assert SECRET not in str(caught.value)
        assert str(caught.value)


@pytest.mark.parametrize("character", CONTROL_CHARACTERS, ids=lambda character: f"U+{ord(character):04X}")
def test_control_character_is_refused_wherever_it_stands(character: str) -> None:
    assert_refused({"text": f"{MARK}{character}"})
    assert_refused({"text": f"{character}{MARK}"})
    assert_refused({f"{MARK}{character}": "value"})
    assert_refused({"list": [{"a": [{"b": f"{MARK}{character}"}]}]})
    assert_refused({"list": [{"a": [{f"{MARK}{character}": ""}]}]})


@pytest.mark.parametrize("before", ["\\", "\\\\", "\\\\\\", '"', '\\"', "\n", "\\n", "\\u0001", "é", "😀"])
@pytest.mark.parametrize("character", ["\x00", "\b", "\f", "\x1b", "\x1f", "\x7f", "\x85", "\x9f"])
def test_control_character_is_refused_behind_every_kind_of_escape(before: str, character: str) -> None:
    assert_refused({"text": f"{MARK}{before}{character}"})
    assert_refused({"list": [f"{MARK}{before}{character}{before}"]})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_number_that_json_does_not_know_is_refused(number: float) -> None:
    assert_refused({"number": number})
    assert_refused({"list": [{"number": [number]}]})


@pytest.mark.parametrize("codes", [[0xD800], [0xDBFF], [0xDC00], [0xDFFF], [0xDC00, 0xD800], [0xD83D, 0xDE00]])
def test_lone_surrogate_is_refused(codes: list[int]) -> None:
    surrogate = "".join(map(chr, codes))
    assert_refused({"text": f"{MARK}{surrogate}"})
    assert_refused({f"{MARK}{surrogate}": "value"})
    assert_refused({"list": [{"a": f"{MARK}{surrogate}"}]})
    assert_refused({"list": [{f"{MARK}{surrogate}": "a"}]})


@pytest.mark.parametrize("key", [1, 1.5, True, False, None, b"key", ("key",)])
def test_key_that_is_no_string_is_refused_at_any_depth(key: object) -> None:
    assert_refused({key: MARK})
    assert_refused({"a": "b", key: MARK})
    assert_refused({"a": {key: MARK}})
    assert_refused({"a": {"b": [[{"c": {key: MARK}}]]}})
    assert_refused({"a": ({key: MARK},)})


@pytest.mark.parametrize("value", ["", None, "ZRQ7VRiV08wHUq2DwpX+5A9iM1E=", False, []])
def test_sign_cannot_be_given(value: object) -> None:
    assert_refused({"deviceId": "8931", "sign": value})


def test_sign_below_the_top_level_is_a_value_like_any_other() -> None:
    assert text_to_sign({"a": {"sign": ""}}) == b'{"a":{"sign":""}}'


@pytest.mark.parametrize("value", [MARK.encode(), bytearray(b"Zebra"), {MARK}, frozenset(), object(), 1j, Path(MARK)])
def test_value_that_is_not_json_is_refused(value: object) -> None:
    assert_refused({"a": value})
    assert_refused({"a": [{"b": value}]})


@pytest.mark.parametrize("parameters", [None, MARK, [MARK], 1, object()])
def test_parameters_that_are_no_mapping_are_refused(parameters: object) -> None:
    assert_refused(parameters)


def test_circular_values_are_refused() -> None:
    # Given a list and an object that hold themselves
    circle: list[Any] = [MARK]
    circle.append(circle)
    ring: dict[str, Any] = {"mark": MARK}
    ring["again"] = {"ring": ring}

    assert_refused({"a": circle})
    assert_refused({"a": ring})


@pytest.mark.parametrize("depth", [10_000, 200_000])
def test_value_nested_too_deeply_is_refused(depth: int) -> None:
    lists: list[Any] = [MARK]
    objects: dict[str, Any] = {"mark": MARK}
    for _ in range(depth):
        lists = [lists]
        objects = {"a": objects}

    assert_refused({"a": lists})
    assert_refused({"a": objects})


def test_many_threads_sign_the_same_and_different_parameters() -> None:
    # Given every vector many times over, and one of them all the time
    work = [vector for vector in VECTORS for _ in range(100)] + [VECTORS[0]] * 1000

    # When many threads sign at once
    with ThreadPoolExecutor(16) as pool:
        bodies = list(pool.map(lambda vector: signed_body(vector.parameters, vector.secret), work))

    # Then each body is what it is without the others
    assert bodies == [signed_body(vector.parameters, vector.secret) for vector in work]
    assert all(vector.sign.encode() in body for vector, body in zip(work, bodies, strict=True))
