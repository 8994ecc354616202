"""The provider's words, as the client passes them on: without content, secret and device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cube_sms.errors import CubeRejected
from tests.integration.wire import FAILURE, Wire, answer
from tests.support import ACCESS_CODE, CREDENTIALS, DEVICE, SECRET, send_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from cube_sms.client import CubeClient
    from cube_sms.models import SendRequest
    from local.cube_simulator import CubeSimulator


def refused(client: CubeClient, request: SendRequest) -> CubeRejected:
    with pytest.raises(CubeRejected) as caught:
        client.send_sms(CREDENTIALS, request)
    return caught.value


@pytest.mark.parametrize(
    ("contents", "quoted", "hidden"),
    [
        (["Your PIN is 4711"], "invalid content: Your PIN is 4711!", "4711"),
        (["Your PIN", "Your PIN is 4711"], "invalid: Your PIN Your PIN is 4711", "4711"),
        (["4711"], "invalid content (4711)", "4711"),
        (["hi"], "invalid content: hi", ": hi"),
        (["你的密码"], "短信内容你的密码包含敏感词", "密码"),
        (["密码"], "短信内容密码包含敏感词", "密码"),
        (["kX7"], f"cannot sign with {SECRET}", SECRET[4:]),
        (["0009399522"], f"no such device {DEVICE}", DEVICE[:-4]),
        (["text"], f"no permission for {ACCESS_CODE}", ACCESS_CODE),
    ],
    ids=[
        *("one", "one in another", "digits", "short", "chinese", "short chinese"),
        *("part of the secret", "of the device", "access code"),
    ],
)
def test_providers_message_is_kept_without_content_secret_and_device(
    connect: Callable[..., CubeClient], contents: list[str], quoted: str, hidden: str
) -> None:
    # Given a provider that quotes what it refuses
    items = [{"smsTemplateContent": content, "smsType": "", "smsNum": "1"} for content in contents]
    with Wire(answer(FAILURE | {"message": quoted})) as wire:
        # When
        caught = refused(connect(wire.url), send_request(smsContentList=items))
    # Then its words are kept, and nothing of what they are about
    assert (caught.message or "").startswith(quoted[:4])
    assert hidden not in f"{caught} {caught.message}"


def test_message_that_echoes_the_request_is_redacted_and_bounded(
    cube: CubeSimulator, connect: Callable[..., CubeClient]
) -> None:
    cube.configure(device_faults={DEVICE: "echo"})
    caught = refused(connect(cube.url), send_request("Wake up and report"))
    assert caught.message == f"{'*' * 16}{DEVICE[-4:]}: [redacted]"
    with Wire(answer(FAILURE | {"message": "m" * 5000})) as wire:
        assert len(refused(connect(wire.url), send_request()).message or "") <= 256
