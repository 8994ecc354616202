"""A campaign that cannot be meant."""

from __future__ import annotations

from typing import Literal


class InvalidCampaignError(Exception):
    """A campaign cannot be meant as it is, and nothing of it is sent.

    Parameters
    ----------
    sentence : str
        What was found and what is wanted. It may quote the file, and so belongs into no log.
    part : {"input", "encoding", "header", "quotes", "rows"}
        Which part of the campaign it is about.
    """

    def __init__(self, sentence: str, part: Literal["input", "encoding", "header", "quotes", "rows"]) -> None:
        super().__init__(sentence)
        self.part = part
