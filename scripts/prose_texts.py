"""The sentences that people read in a file: of a page, of docstrings, comments and messages, of descriptions."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import TYPE_CHECKING, NamedTuple

import yaml
from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from markdown_it.token import Token

# What a comment says to a tool.
DIRECTIVE = re.compile(r"!|\s*(?:no(?:qa|sec)\b|type:|prose:|pragma:|fmt:|mypy:|ruff:|-+$|=+$)")
LOG_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
DESCRIPTIONS = {"Description", "AlarmDescription", "ConstraintDescription"}
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

MARKDOWN = MarkdownIt("commonmark").enable("table")
# "e.g. SQS" goes on, and so does the number of a step.
GOES_ON = re.compile(r"(?:.*[\s(“])?(?:e\.g|i\.e|vs|cf|approx)\.|\d+\.", re.DOTALL | re.IGNORECASE)
END = re.compile(r"""[.!?]["”')]*\s+(?=[^\sa-z])""")
# What is below it in a page is written from the code, whose texts are read there.
GENERATED = "<!-- Below: written by "
# Stands for code, which is one word whatever it holds.
CODE = "`code`"


class Sentence(NamedTuple):
    """A sentence, the line where it begins, and whether it is a cell of a table."""

    line: int
    text: str
    in_table: bool = False

    @property
    def words(self) -> int:
        """How many words it has."""
        return sum(any(map(str.isalnum, word)) for word in self.text.split())


class Text(NamedTuple):
    """A part of a file that people read, and the line where it begins."""

    line: int
    markdown: str


class Comment(NamedTuple):
    """One line of a comment."""

    line: int
    column: int
    words: str


def sentences(path: Path) -> Iterator[Sentence]:
    """Return the sentences of a file: Markdown, Python or YAML."""
    for text in _texts(path):
        yield from split(text.markdown, text.line)


def split(markdown: str, first_line: int = 1) -> Iterator[Sentence]:
    """Split Markdown into sentences; headings, blocks of code and HTML have none."""
    line, heading, in_table = 0, False, False
    for token in MARKDOWN.parse(markdown):
        line = token.map[0] if token.map else line
        heading = token.type == "heading_open" or (heading and token.type != "heading_close")
        in_table = token.type == "table_open" or (in_table and token.type != "table_close")
        if token.type == "inline" and not heading:
            for offset, text in _split(words := _words(token)):
                yield Sentence(first_line + line + words.count("\n", 0, offset), " ".join(text.split()), in_table)


def _words(inline: Token) -> str:
    """Return the words of a paragraph: of links their text, of images nothing."""
    return "".join(
        {"code_inline": CODE, "softbreak": "\n", "hardbreak": "\n", "text": token.content}.get(token.type, "")
        for token in inline.children or ()
    )


def _split(text: str) -> Iterator[tuple[int, str]]:
    start = len(text) - len(text.lstrip())
    for end in END.finditer(text):
        if not GOES_ON.fullmatch(text[start : end.start() + 1]):
            yield start, text[start : end.end()]
            start = end.end()
    if text[start:].strip():
        yield start, text[start:]


def _texts(path: Path) -> Iterator[Text]:
    source = path.read_text("utf-8")
    if path.suffix == ".py":
        tree = ast.parse(source)
        yield from _docstrings(tree)
        yield from _messages(tree)
        yield from _blocks(_python_comments(source))
    elif path.suffix == ".yaml":
        yield from _descriptions(source)
        yield from _blocks(_yaml_comments(source))
    else:
        yield Text(1, source.partition(GENERATED)[0])


def _docstrings(tree: ast.Module) -> Iterator[Text]:
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and (docstring := ast.get_docstring(node, clean=True)):
            yield Text(node.body[0].lineno, _without_numpy_markup(docstring))


def _without_numpy_markup(docstring: str) -> str:
    """Keep the lines of a docstring that are sentences, each where it was.

    Headings of sections, the names and types above descriptions, and examples become empty lines.
    """
    lines, kept, in_example = docstring.splitlines(), list[str](), False
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        in_example = line.lstrip().startswith(">>>") or (in_example and bool(line.strip()))
        is_heading = re.fullmatch(r"-{3,}", following.strip()) or re.fullmatch(r"-{3,}", line.strip())
        is_name = re.match(r"\w", line) and re.match(r" {4}\S", following)
        kept.append("" if in_example or is_heading or is_name else line.strip())
    return "\n".join(kept)


def _messages(tree: ast.Module) -> Iterator[Text]:
    """Return the texts of errors that are raised, and of log lines."""
    for node in ast.walk(tree):
        call = node.exc if isinstance(node, ast.Raise) else node
        is_log = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in LOG_LEVELS
        if isinstance(call, ast.Call) and (is_log or isinstance(node, ast.Raise)):
            yield from (Text(argument.lineno, text) for argument in call.args if (text := _literal(argument)))


def _literal(node: ast.expr) -> str:
    """Return the text of a string, with each value that it is filled with as one word of code."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "`value`" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _python_comments(source: str) -> Iterator[Comment]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not DIRECTIVE.match(token.string[1:]):
            yield Comment(*token.start, token.string[1:])


def _yaml_comments(source: str) -> Iterator[Comment]:
    for number, line in enumerate(source.splitlines(), 1):
        if (found := re.match(r"( *)#(.*)", line)) and not DIRECTIVE.match(found[2]):
            yield Comment(number, len(found[1]), found[2])


def _blocks(comments: Iterable[Comment]) -> Iterator[Text]:
    """Join comments on lines that follow each other in one column."""
    block: list[Comment] = []
    for comment in comments:
        if block and (comment.line, comment.column) != (block[-1].line + 1, block[-1].column):
            yield Text(block[0].line, "\n".join(each.words.strip() for each in block))
            block = []
        block.append(comment)
    if block:
        yield Text(block[0].line, "\n".join(each.words.strip() for each in block))


def _descriptions(source: str) -> Iterator[Text]:
    """Return the descriptions of a template: parameters, resources, alarms."""
    waiting = [yaml.compose(source, Loader=yaml.SafeLoader)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                waiting.append(value)
                if key.value in DESCRIPTIONS and isinstance(value, yaml.ScalarNode):
                    yield Text(value.start_mark.line + 1, value.value)
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
