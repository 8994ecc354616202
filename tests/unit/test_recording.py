"""The recordings of the live views: frames that follow one another in one SVG."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from local.recording import DOCS, animated

SVG = "{http://www.w3.org/2000/svg}"


def test_each_frame_has_its_time() -> None:
    frames = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 5"><text>{each}</text></svg>' for each in "abc"]
    root = ElementTree.fromstring(animated(frames))
    assert root.get("viewBox") == "0 0 10 5"
    delays = [group.get("style") for group in root.findall(f"{SVG}g")]
    assert delays == ["animation-delay: 0s", "animation-delay: 1s", "animation-delay: 2s"]
    assert "show 3s" in (root.findtext(f"{SVG}style") or "")


@pytest.mark.parametrize("name", ["campaign-watch", "top"])
def test_recording_in_the_documents_moves(name: str) -> None:
    root = ElementTree.fromstring((DOCS / f"{name}.svg").read_text("utf-8"))
    texts = ["".join(group.itertext()) for group in root.findall(f"{SVG}g")]
    assert len(set(texts)) > 5
    assert all("CUBE" not in text for text in texts)
