"""The signature for any JSON, held against a second implementation of the same rules."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cube_sms.provider.canonical import CanonicalFormError
from cube_sms.provider.csss.signing import Spelling, sign, signed_body, text_to_sign

SECRET = "test-secret"

characters = st.one_of(st.characters(exclude_categories=["Cc", "Cs"]), st.sampled_from('\n\r\t"\\/bfnrtu01'))
texts = st.text(characters, max_size=12)
numbers = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)
parameters_of_any_kind = st.dictionaries(texts.filter(lambda key: key != "sign"), values, max_size=8)

each_run = settings(max_examples=80)


def reference(parameters: dict[str, Any]) -> bytes:
    kept = {}
    for key in sorted(parameters, key=lambda key: key.encode()):
        if parameters[key] is not None and parameters[key] != "":
            kept[key] = parameters[key]
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()


@each_run
@given(parameters_of_any_kind)
def test_content_is_what_the_reference_prints(parameters: dict[str, Any]) -> None:
    assert text_to_sign(parameters) == reference(parameters)


@each_run
@given(parameters_of_any_kind, st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_signature_and_body_are_those_of_the_content(parameters: dict[str, Any], secret: str) -> None:
    expected = base64.b64encode(hmac.new(secret.encode(), reference(parameters), hashlib.sha1).digest()).decode()
    assert sign(parameters, secret) == expected

    content = reference(parameters)
    comma = b"" if content == b"{}" else b","
    assert signed_body(parameters, secret) == content[:-1] + comma + f'"sign":"{expected}"}}'.encode()


@each_run
@given(parameters_of_any_kind, st.randoms(use_true_random=False))
def test_order_of_the_parameters_does_not_matter(parameters: dict[str, Any], random: Any) -> None:
    keys = list(parameters)
    random.shuffle(keys)
    assert text_to_sign({key: parameters[key] for key in keys}) == text_to_sign(parameters)


@each_run
@given(st.dictionaries(texts, values, min_size=2, max_size=6))
def test_order_below_the_top_level_does_matter(item: dict[str, Any]) -> None:
    reversed_item = dict(reversed(item.items()))
    assert text_to_sign({"list": [item]}) != text_to_sign({"list": [reversed_item]})
    assert sign({"item": item}, SECRET) != sign({"item": reversed_item}, SECRET)


@each_run
@given(parameters_of_any_kind, st.dictionaries(texts, st.sampled_from([None, ""]), max_size=5))
def test_null_and_empty_parameters_change_nothing(parameters: dict[str, Any], empty: dict[str, Any]) -> None:
    more = {**{key: value for key, value in empty.items() if key != "sign"}, **parameters}
    assert sign(more, SECRET) == sign(parameters, SECRET)


@each_run
@given(st.text(st.sampled_from('\\"/ubfnrt0018é😀'), max_size=16))
def test_backslashes_typed_as_characters_are_never_taken_for_a_control_character(text: str) -> None:
    assert text_to_sign({"list": [{text: text}]}) == reference({"list": [{text: text}]})


@each_run
@given(st.text(max_size=8), st.characters(categories=["Cc"]).filter(lambda c: c not in "\n\r\t"), st.text(max_size=8))
def test_control_character_is_refused_in_any_company(before: str, control: str, after: str) -> None:
    text = before + control + after
    for parameters in ({"text": text}, {"list": [{"text": text}]}, {"list": [{text: 1}]}):
        with pytest.raises(CanonicalFormError):
            text_to_sign(parameters)


@each_run
@given(st.text(st.characters(), max_size=20))
def test_text_is_signed_or_refused_by_its_characters_alone(text: str) -> None:
    refused = any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\r\t" for c in text)
    try:
        content = text_to_sign({"list": [text]})
    except CanonicalFormError:
        assert refused
    else:
        assert not refused
        assert content == reference({"list": [text]})


@each_run
@given(parameters_of_any_kind, st.builds(Spelling, st.booleans(), st.booleans(), st.booleans()))
def test_other_spelling_says_the_same(parameters: dict[str, Any], spelling: Spelling) -> None:
    text, spelled = text_to_sign(parameters), text_to_sign(parameters, spelling)

    assert json.loads(spelled) == json.loads(text)
    assert spelled.isascii() or not spelling.escapes_non_ascii
    assert b"/" not in spelled.replace(rb"\/", b"") or not spelling.escapes_slashes
    assert (list(json.loads(spelled)) == list(json.loads(text))) or not spelling.sorts_keys
