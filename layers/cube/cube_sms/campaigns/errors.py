"""The error of an invalid campaign."""

from __future__ import annotations

from typing import Literal


class InvalidCampaignError(Exception):
    """A campaign is invalid, and none of it is sent.

    Parameters
    ----------
    sentence : str
        What was found and what is wanted. It may quote the file, so that it must stay out of logs.
    part : {"input", "encoding", "header", "quotes", "rows"}
        Which part of the campaign it is about.
    """

    def __init__(self, sentence: str, part: Literal["input", "encoding", "header", "quotes", "rows"]) -> None:
        super().__init__(sentence)
        self.part = part
