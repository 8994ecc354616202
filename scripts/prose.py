"""Hold prose to the rule in CONTRIBUTING.md: pages, docstrings, comments, the texts of errors and logs.

Usage: ``make check-prose``; ``python -m scripts.prose PATH…`` for some files; ``--measure`` counts words and sentences.
`.prose.toml` says which files are read, which of them are still to be rewritten, and which words have a better one.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scripts.prose_texts import Sentence, sentences

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[1]

MOST_WORDS = 25
MOST_ON_AVERAGE = 15
# The average of fewer sentences says little.
FEWEST_SENTENCES = 5

WHERE = re.compile(r"(?:^|^And |^But |^So |[:;]\s)Where\b", re.IGNORECASE)
# With a reason of three words or more
ALLOWED = re.compile(r"prose: allow (P\d{3})(?: \w\S*){3}")


class Problem(NamedTuple):
    """What is wrong with a line, and what to do."""

    line: int
    rule: str
    message: str


class Measure(NamedTuple):
    """How much prose there is: sentences of tables do not count, since their cells are no sentences."""

    words: int
    sentences: int
    long: int

    @property
    def mean(self) -> float:
        """The words of a sentence, on average."""
        return self.words / self.sentences if self.sentences else 0.0

    @classmethod
    def of(cls, sentences: list[Sentence]) -> Measure:
        """Count sentences."""
        words = [sentence.words for sentence in sentences if not sentence.in_table]
        return cls(sum(words), len(words), sum(count > MOST_WORDS for count in words))


@cache
def settings() -> dict[str, Any]:
    """Return what `.prose.toml` says."""
    return tomllib.loads((PROJECT / ".prose.toml").read_text("utf-8"))


def files(patterns: list[str]) -> list[Path]:
    """Return the files of the project that fit one of these patterns."""
    return sorted({path for pattern in patterns for path in PROJECT.glob(pattern)})


def sentences_of(path: Path) -> list[Sentence]:
    """Return the sentences of a file; a reference has none in its tables."""
    with_tables = not any(path.match(pattern) for pattern in settings()["without_tables"])
    return [sentence for sentence in sentences(path) if with_tables or not sentence.in_table]


def problems_of(path: Path) -> list[Problem]:
    """Return what is wrong with the prose of a file, except for what its comments allow."""
    found = {*_problems(sentences_of(path))}
    allowed = {
        (number, allowance[1])
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        for allowance in ALLOWED.finditer(line)
    }
    # On its own line, or on the line above it
    used = {(line - above, rule) for line, rule, _ in found for above in (0, 1)} & allowed
    left = [problem for problem in found if not {(problem.line - above, problem.rule) for above in (0, 1)} & used]
    unused = [Problem(line, "P005", f"remove “allow {rule}”: the line keeps it") for line, rule in allowed - used]
    return sorted([*left, *unused])


def _problems(sentences: list[Sentence]) -> Iterator[Problem]:
    for sentence in sentences:
        start = " ".join(sentence.text.split()[:6])
        if sentence.words > MOST_WORDS:
            message = f"“{start} …” has {sentence.words} words: make sentences of {MOST_WORDS} at most"
            yield Problem(sentence.line, "P001", message)
        if WHERE.search(sentence.text) and not sentence.text.endswith("?"):
            yield Problem(sentence.line, "P003", f"“{start} …”: write “if” for a condition, or name the place")
        for word, better in settings()["words"].items():
            if found := re.search(rf"\b(?:{word})\b", sentence.text, re.IGNORECASE):
                yield Problem(sentence.line, "P004", f"“{found[0]}”: write {better}")
    measure = Measure.of(sentences)
    if measure.sentences >= FEWEST_SENTENCES and measure.mean > MOST_ON_AVERAGE:
        yield Problem(1, "P002", f"{measure.mean:.1f} words a sentence on average: {MOST_ON_AVERAGE} at most")


def _show_measures(paths: list[Path]) -> None:
    print("all words  of prose  sentences  mean  long  page")
    total, words = Measure(0, 0, 0), 0
    for path in paths:
        measure, there = Measure.of(sentences_of(path)), len(path.read_text("utf-8").split())
        _show_measure(there, measure, path.relative_to(PROJECT, walk_up=True).as_posix())
        total, words = Measure(*map(sum, zip(total, measure, strict=True))), words + there
    _show_measure(words, total, "all")


def _show_measure(words: int, measure: Measure, name: str) -> None:
    share = measure.long / max(measure.sentences, 1)
    print(f"{words:9}  {measure.words:8}  {measure.sentences:9}  {measure.mean:4.1f}  {share:4.0%}  {name}")


def main() -> int:
    """Check files, or measure pages; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.prose")
    parser.add_argument("--measure", action="store_true", help="count words and sentences of each page")
    parser.add_argument("paths", nargs="*", type=Path, help="files; by default all but those to be rewritten")
    arguments = parser.parse_args()
    named = [path.resolve() for path in arguments.paths]
    if arguments.measure:
        _show_measures(named or [path for path in files(settings()["files"]) if path.suffix == ".md"])
        return 0
    problems = {path: problems_of(path) for path in named or files(settings()["files"])}
    for path, found in problems.items():
        for line, rule, message in found:
            print(f"{path.relative_to(PROJECT, walk_up=True)}:{line}: {rule} {message}")
    return any(problems.values())


if __name__ == "__main__":
    sys.exit(main())
