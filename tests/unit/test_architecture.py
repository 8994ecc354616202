"""What every module has to have. The direction of dependencies is import-linter's (`.importlinter`, `make check`)."""

from __future__ import annotations

import ast
import doctest
import importlib
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers" / "cube"
MODULES = sorted((LAYER / "cube_sms").rglob("*.py"))
FACES = [path for path in MODULES if path.name == "__init__.py"]
HANDLERS = sorted((ROOT / "functions").glob("*/app.py"))

# The most lines of a module, and those that have a reason to be longer.
MOST_LINES = 250
LONGER = {
    "platform/settings.py": "what each function can be set to; most of it is docstrings",
    "platform/errors.py": "what can stand in a message's way, and what follows; half of it is docstrings",
    "delivery/records/items.py": "how each item is written and read back; half of it is docstrings",
    "delivery/records/store.py": "the machine of claims; half of it is docstrings",
    "delivery/sending.py": "one attempt from claim to record; half of it is docstrings",
    "pacing/gate.py": "what all threads of a worker share is under one lock",
    "pacing/lanes.py": "the plan of lanes is one calculation",
    "provider/base.py": "the whole protocol, errors with it",
    "provider/answers.py": "one answer from its bytes to its meaning",
    "provider/credentials.py": "one fetch for all threads; half of it is what can be wrong with a secret",
    "provider/http.py": "one connection from the look-up of the host's name to the answer's last byte",
    "queue/consumer.py": "one batch from its first look to the queue's last word",
    "campaigns/runs.py": "one pass over a campaign's rows",
}


def name(path: Path) -> str:
    return path.relative_to(LAYER / "cube_sms").as_posix() if path.is_relative_to(LAYER) else path.parent.name


each_module = pytest.mark.parametrize("path", MODULES, ids=name)
each_handler = pytest.mark.parametrize("path", HANDLERS, ids=name)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), path)


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports from, wherever in it."""
    modules: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
    return modules


def used_names(path: Path) -> set[str]:
    """Return every name and attribute in a file's code; text in strings and comments does not count."""
    names = {node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
    return names | {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}


@pytest.mark.parametrize(
    ("path", "beside"),
    [
        ("canonical.py", set()),
        ("csss/signing.py", {"cube_sms.provider.canonical"}),
        ("v4/signing.py", {"cube_sms.provider.canonical", "cryptography"}),
    ],
)
def test_signing_imports_the_standard_library_and_little_beside(path: str, beside: set[str]) -> None:
    imported = imports(LAYER / "cube_sms" / "provider" / path)
    names = {module if module.startswith("cube_sms") else module.partition(".")[0] for module in imported}
    assert names <= sys.stdlib_module_names | beside


def test_cryptography_is_imported_by_no_module_as_a_whole() -> None:
    # Only an account that uses v4 pays for it: a cold start of another stack does not import it
    at_once = {
        name(path)
        for path in MODULES
        for node in tree(path).body
        if isinstance(node, ast.Import | ast.ImportFrom) and "cryptography" in ast.unparse(node)
    }
    assert at_once == set()


@pytest.mark.parametrize("path", [path for path in MODULES if name(path) != "platform/invocations.py"], ids=name)
def test_module_of_the_layer_knows_neither_environment_nor_lambda(path: Path) -> None:
    assert not used_names(path) & {"environ", "environb", "getenv", "getenvb", "putenv"}
    assert not used_names(path) & {"LambdaContext", "aws_request_id", "get_remaining_time_in_millis"}


@each_module
def test_other_packages_are_known_by_their_faces(path: Path) -> None:
    own = name(path).rpartition("/")[0].partition("/")[0]
    others = {module for module in imports(path) if module.startswith("cube_sms.")}
    # A dialect is a part of its package, whose face is not complete while the dialect is imported.
    assert {module for module in others if module.count(".") > 1 and module.split(".")[1] != own} == set()


@pytest.mark.parametrize("path", FACES, ids=name)
def test_face_holds_what_others_may_use_and_nothing_else(path: Path) -> None:
    kinds = {type(node) for node in tree(path).body[1:]}
    assert kinds <= {ast.ImportFrom, ast.Assign}


@each_module
def test_long_module_has_a_reason(path: Path) -> None:
    is_long = len(path.read_text("utf-8").splitlines()) > MOST_LINES
    assert is_long == (name(path) in LONGER)


@pytest.mark.parametrize(("folder", "other"), [("tests", "benchmarks"), ("benchmarks", "tests"), ("local", "tests")])
def test_folder_does_without_another(folder: str, other: str) -> None:
    roots = {module.partition(".")[0] for path in (ROOT / folder).rglob("*.py") for module in imports(path)}
    assert other not in roots


@each_handler
def test_handler_is_wiring(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 100
    assert {module.count(".") for module in imports(path) if module.startswith("cube_sms")} <= {1}
    assert "functions" not in {module.partition(".")[0] for module in imports(path)}


def test_types_of_every_handler_are_checked() -> None:
    # Each is a module `app`, so mypy needs the path of each
    checked = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]["files"]
    handlers = {path.relative_to(ROOT).as_posix() for path in HANDLERS}
    assert {path for path in checked if path.startswith("functions/")} == handlers


@pytest.mark.parametrize("path", [*MODULES, *HANDLERS], ids=name)
def test_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree(path))


@each_module
def test_examples_in_the_documentation_are_true(path: Path) -> None:
    parts = path.relative_to(LAYER).with_suffix("").parts
    module = importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    assert doctest.testmod(module).failed == 0
