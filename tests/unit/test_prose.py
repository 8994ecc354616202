"""The linter of prose: what it reads of a file, what a sentence is, and what it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import prose
from scripts.prose_texts import split
from tests.documents import pages, table

if TYPE_CHECKING:
    from pathlib import Path

TWENTY_SIX = " ".join(["Word", *["word"] * 25])

# What is one sentence, though it holds what can look like an end.
PARTS = st.sampled_from(
    [
        "word",
        "e.g. SQS",
        "i.e. Lambda",
        "approx. 5",
        "0.25 s",
        "10:30",
        "`a.b. C`",
        "[a link](page.md#an-anchor)",
        "**strong**",
        "cube-sms.example",
        "HTTP 429",
        "(in brackets)",
        "“quoted”",
        "v4; then",
        "a line\nlater",
    ]
)
SENTENCES = st.builds(
    lambda first, parts, end: " ".join([first, *parts]) + end,
    st.sampled_from(["A", "`code`", "[Links](page.md)", "**All**", "10", "“No”"]),
    st.lists(PARTS, min_size=1, max_size=6),
    st.sampled_from([".", "?", "!", ".)", ".”"]),
)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.md"


def rules(path: Path, text: str) -> list[tuple[int, str]]:
    """Write a file, and return what is wrong with it: lines and rules."""
    path.write_text(text, "utf-8")
    return [(problem.line, problem.rule) for problem in prose.problems_of(path)]


class TestSentences:
    @given(st.lists(SENTENCES, min_size=1, max_size=4))
    def test_paragraph_is_split_where_its_sentences_end(self, sentences: list[str]) -> None:
        # When sentences follow each other in a paragraph
        found = list(split(" ".join(sentences)))

        # Then each is one again, on the line where it begins
        assert len(found) == len(sentences)
        lines = [1 + " ".join([*sentences[:place], "."]).count("\n") for place in range(len(sentences))]
        assert [sentence.line for sentence in found] == lines

    @given(st.lists(SENTENCES, min_size=1, max_size=4))
    def test_words_of_a_paragraph_are_those_of_its_sentences(self, sentences: list[str]) -> None:
        alone = [sentence.words for each in sentences for sentence in split(each)]
        assert [sentence.words for sentence in split(" ".join(sentences))] == alone

    @pytest.mark.parametrize(
        ("markdown", "words"),
        [
            ("One `a b c` word of code.", 5),
            ("See [the page](https://example.com/a.b) now.", 4),
            ("![A picture.](a.png) Then words.", 2),
            ("Read — and write.", 3),
        ],
    )
    def test_words_are_counted_as_people_read_them(self, markdown: str, words: int) -> None:
        assert [sentence.words for sentence in split(markdown)] == [words]

    def test_only_prose_is_read(self) -> None:
        parts = (
            "# A heading",
            "A sentence.",
            "```\ncode\n```",
            "<!-- HTML -->",
            "- An item.",
            "| A | B |\n| --- | --- |\n| cell | |",
        )
        found = [(sentence.line, sentence.text, sentence.in_table) for sentence in split("\n\n".join(parts))]
        assert found == [
            (3, "A sentence.", False),
            (11, "An item.", False),
            (13, "A", True),
            (13, "B", True),
            (15, "cell", True),
        ]

    def test_what_is_written_from_the_code_is_read_there(self, page: Path) -> None:
        below = "<!-- Below: written by `make schemas`, from the code. -->\n\nThe letter."
        assert rules(page, f"The letter.\n\n{below}") == [(1, "P004")]


class TestRules:
    @pytest.mark.parametrize(
        ("text", "rule"),
        [
            (f"{TWENTY_SIX}.", "P001"),
            (f"| {TWENTY_SIX} |\n| --- |", "P001"),
            ("Where the queue is empty, the worker stops.", "P003"),
            ("The worker stops; where the queue is full, it goes on.", "P003"),
            ("The letter is in the queue.", "P004"),
            ("Secrets Manager is\naway.", "P004"),
            ("A message is never sent without a claim.", "P004"),
        ],
    )
    def test_rule_is_broken(self, page: Path, text: str, rule: str) -> None:
        assert rules(page, text) == [(1, rule)]

    @pytest.mark.parametrize(
        "text",
        [
            f"{TWENTY_SIX.removesuffix(' word')}.",
            "Where is the queue?",
            "The page says where the queue is.",
            "The dead letter is in the queue.",
            "The `letter` of the code.",
            "A message is sent after its claim.",
        ],
    )
    def test_rule_is_kept(self, page: Path, text: str) -> None:
        assert rules(page, text) == []

    def test_average_of_a_page_is_held(self, page: Path) -> None:
        # Given as many sentences as an average takes, of which none is too long
        sentence = " ".join(["Word", *["word"] * (prose.MOST_ON_AVERAGE - 1)])
        kept = f"{sentence}. " * prose.FEWEST_SENTENCES

        # Then one word more is too much, and short cells do not make up for it
        assert rules(page, kept) == []
        assert rules(page, f"{kept}\n\n{sentence} more.\n\n| cell |\n| --- |") == [(1, "P002")]

    def test_message_says_what_to_write(self, page: Path) -> None:
        page.write_text("The letters are in the queue.", "utf-8")
        (problem,) = prose.problems_of(page)
        assert problem.message == "“letters”: write “dead letter”"


# In two parts, since the linter reads this file too.
ALLOW = "<!-- prose: " + "allow"


class TestAllowances:
    def test_line_is_allowed_for_a_reason(self, page: Path) -> None:
        allowed = f"{ALLOW} P004 a letter of the alphabet -->"
        assert rules(page, f"A letter. {allowed}") == []
        assert rules(page, f"{allowed}\nA letter.") == []

    def test_allowance_without_a_reason_allows_nothing(self, page: Path) -> None:
        assert rules(page, "A letter. <!-- prose: allow P004 -->") == [(1, "P004")]

    def test_allowance_is_for_one_rule_and_one_line(self, page: Path) -> None:
        allowed = f"{ALLOW} P004 a letter of the alphabet -->"
        assert rules(page, f"{allowed}\n{TWENTY_SIX} letter.\nA letter.") == [(2, "P001"), (3, "P004")]

    def test_allowance_that_allows_nothing_has_to_go(self, page: Path) -> None:
        assert rules(page, f"A sentence. {ALLOW} P004 it has been mended -->") == [(1, "P005")]


class TestFiles:
    def test_python_has_prose_in_docstrings_comments_and_messages(self, tmp_path: Path) -> None:
        source = '''"""The first letter."""

import logging


def send(letter: str) -> None:
    """Send it.

    Parameters
    ----------
    letter : str
        The second letter.

    Raises
    ------
    ValueError
        Where it is empty.

    Examples
    --------
    >>> send("letter")
    letter
    """
    # The third
    # letter.
    letter = "a letter that is data"  # The fourth letter.
    logging.getLogger().warning("The fifth letter %s", letter)
    raise ValueError(f"The sixth letter {letter!r}")  # noqa: TRY003 letter
'''
        lines = [(1, "P004"), (12, "P004"), (17, "P003"), (24, "P004"), (26, "P004"), (27, "P004"), (28, "P004")]
        assert rules(tmp_path / "module.py", source) == lines

    def test_template_has_prose_in_descriptions_and_comments(self, tmp_path: Path) -> None:
        template = """# The first letter.
Resources:
  Alarm:
    Properties:
      AlarmName: letter
      AlarmDescription: !Sub The second letter of ${AWS::StackName}.
      Dimensions:
        - Description: >-
            The third
            letter.
"""
        assert rules(tmp_path / "template.yaml", template) == [(1, "P004"), (6, "P004"), (8, "P004")]


class TestCommand:
    def test_files_are_checked(
        self, page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # Given a page that breaks a rule
        page.write_text("A sentence.\n\nThe letter.\n", "utf-8")
        monkeypatch.setattr("sys.argv", ["prose", str(page)])

        # When it is checked, the command fails and names the line
        assert prose.main() == 1
        assert capsys.readouterr().out.endswith("page.md:3: P004 “letter”: write “dead letter”\n")

        # And when it is mended, it says nothing
        page.write_text("A sentence.\n\nThe dead letter.\n", "utf-8")
        assert prose.main() == 0
        assert capsys.readouterr().out == ""

    def test_pages_are_measured(
        self, page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        page.write_text(f"# A heading\n\nTwo words. {TWENTY_SIX}.\n", "utf-8")
        monkeypatch.setattr("sys.argv", ["prose", "--measure", str(page)])
        assert prose.main() == 0
        _, measured, total = capsys.readouterr().out.splitlines()
        # Words with headings, of prose, sentences, mean, share of long ones
        assert measured.split()[:5] == ["31", "28", "2", "14.0", "50%"]
        assert total.split()[:5] == measured.split()[:5]


def test_each_term_of_the_glossary_is_defined_once_and_used() -> None:
    terms = [row[0] for row in table("term", "meaning")]
    others = " ".join(text for name, text in pages().items() if name != "docs/glossary.md").lower()
    assert terms == list(dict.fromkeys(terms))
    assert [term for term in terms if term.lower() not in others] == []


@pytest.mark.parametrize("pattern", prose.settings()["files"])
def test_what_is_read_is_there(pattern: str) -> None:
    assert prose.files([pattern])
