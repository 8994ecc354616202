"""What the code says of itself: docstrings of classes and attributes, and comments above constants."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from functools import cache
from itertools import dropwhile, pairwise, takewhile
from typing import TYPE_CHECKING

import cube_sms

from .markdown import prose

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


@cache
def modules() -> list[ModuleType]:
    """Return every module of the layer, imported."""
    return [importlib.import_module(each.name) for each in pkgutil.walk_packages(cube_sms.__path__, "cube_sms.")]


def meaning(kind: type) -> str:
    """Return the first paragraph of a class's docstring.

    Raises
    ------
    ValueError
        If the class has no docstring of its own.
    """
    if not kind.__dict__.get("__doc__"):
        raise ValueError(f"{kind.__module__}.{kind.__qualname__} needs a docstring")
    return prose(" ".join(inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].split()))


def attribute_docs(owner: type | ModuleType) -> dict[str, str]:
    """Return the docstrings of the attributes of a class or a module: the text below each assignment."""
    tree = ast.parse(inspect.getsource(owner))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) and isinstance(owner, type) else tree.body
    found = {}
    for statement, below in pairwise(body):
        if (name := _assigned(statement)) and (text := _text(below)):
            found[name] = prose(" ".join(text.split()))
    return found


def remarks(module: ModuleType) -> dict[str, str]:
    """Return what a module says of its constants: the docstring below each, or the comment above it.

    A comment holds for all constants below it, up to an empty line.
    """
    lines = inspect.getsource(module).splitlines()
    found = {}
    for statement in ast.parse(inspect.getsource(module)).body:
        if name := _assigned(statement):
            above = list(reversed(lines[: statement.lineno - 1]))
            found[name] = prose(comment_above(above))
    return {**found, **attribute_docs(module)}


def comment_above(above: Sequence[str]) -> str:
    """Return the comment of a line, from the lines above it, the nearest first.

    Examples
    --------
    >>> comment_above(["LEAST = 1", "# and the most of it.", "# The least", "", "OTHER = 2"])
    'The least and the most of it.'
    """
    block = dropwhile(lambda line: not line.lstrip().startswith("#"), takewhile(str.strip, above))
    comment = takewhile(lambda line: line.lstrip().startswith("#"), block)
    return " ".join(reversed([line.strip().removeprefix("#").strip() for line in comment]))


def _assigned(statement: ast.stmt) -> str:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return ""


def _text(statement: ast.stmt) -> str:
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return text
    return ""
