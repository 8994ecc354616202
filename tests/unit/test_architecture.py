"""The direction of dependencies, and what every module has to have."""

from __future__ import annotations

import ast
import doctest
import importlib
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "cube_sms"
MODULES = {path.stem: path for path in sorted((ROOT / "layers" / "cube" / PACKAGE).glob("*.py"))}
HANDLERS = sorted((ROOT / "functions").glob("*/app.py"))

# From the top down. A module imports from its own layer and those below it.
LAYERS = [
    {"api", "campaign_reports", "campaigns", "consumer", "publisher", "replies", "sending", "telemetry"},
    {"answers", "aws", "backoff", "client", "connection", "credentials", "dead_letters", "direct_calls", "records"}
    | {"breaker", "gate_item", "leases", "objects", "outcome_events", "pacing", "queues", "quota", "settings"},
    {"campaign_csv", "campaign_files", "content", "errors", "lanes", "models", "request_events", "signing"}
    | {"states", "ticks", "updates"}
    | {"api_events", "lenient_json"},
    {"__init__"},
]
# Where the package allows less than its layer does.
ONLY_IMPORTS: dict[str, set[str]] = {
    "__init__": set(),
    "signing": set(),
    "errors": {"signing"},
    "campaign_csv": {"errors"},
    "campaign_files": {"campaign_csv", "errors"},
    "content": {"errors"},
    "states": set(),
    "lanes": set(),
    "lenient_json": set(),
    "api_events": {"errors"},
    "request_events": {"lenient_json", "models"},
    "updates": set(),
    "models": {"content", "errors", "lenient_json", "signing"},
}
HANDLERS_IMPORT = {"api", "aws", "campaigns", "consumer", "models", "publisher", "replies", "sending", "settings"}
HANDLERS_IMPORT |= {"api_events", "campaign_reports", "errors", "leases", "telemetry"}

each_module = pytest.mark.parametrize("name", MODULES)
each_handler = pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.parent.name)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), path)


def imports(path: Path) -> set[str]:
    """Return the full names of all that a file imports, wherever in it, for type checking included."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(filter(None, [PACKAGE if node.level else "", node.module]))
            names |= {f"{start}.{alias.name}" for alias in node.names}
    return names


def own_imports(path: Path) -> set[str]:
    """Return the names of the modules of the package that a file imports."""
    parts = [name.split(".") for name in imports(path)]
    modules = {name[1] if name[1] in MODULES else "__init__" for name in parts if name[0] == PACKAGE}
    return modules - {path.stem}


def used_names(path: Path) -> set[str]:
    """Return every name and attribute in a file's code; text in strings and comments does not count."""
    names = {node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
    names |= {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
    return names | {part for name in imports(path) for part in name.split(".")}


def test_the_package_and_its_handlers_are_found() -> None:
    assert MODULES.keys() >= {"__init__", "signing", "models", "errors", "client", "credentials", "sending"}
    assert {path.parent.name for path in HANDLERS} >= {"send_from_queue", "send_from_api"}


def test_every_module_has_its_layer() -> None:
    # A new module belongs into one of the layers above.
    assert MODULES.keys() <= set().union(*LAYERS)
    assert sum(map(len, LAYERS)) == len(set().union(*LAYERS))


@each_module
def test_module_imports_from_its_own_layer_and_those_below(name: str) -> None:
    depth = next(depth for depth, layer in enumerate(LAYERS) if name in layer)
    allowed = ONLY_IMPORTS.get(name, set().union(*LAYERS[depth:]))
    assert own_imports(MODULES[name]) <= allowed


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name: own_imports(path) for name, path in MODULES.items()}
    assert list(TopologicalSorter(graph).static_order())


def test_signing_imports_the_standard_library_alone() -> None:
    assert {name.partition(".")[0] for name in imports(MODULES["signing"])} <= sys.stdlib_module_names


@each_module
def test_module_of_the_layer_knows_neither_environment_nor_lambda(name: str) -> None:
    assert not used_names(MODULES[name]) & {"environ", "environb", "getenv", "getenvb", "putenv"}
    assert not used_names(MODULES[name]) & {"LambdaContext", "aws_request_id", "get_remaining_time_in_millis"}


@each_module
def test_powertools_belongs_to_telemetry_and_the_handlers(name: str) -> None:
    powertools = {imported for imported in imports(MODULES[name]) if imported.startswith("aws_lambda_powertools")}
    assert not powertools or name == "telemetry"


@each_module
def test_module_of_the_layer_imports_no_handler_and_no_test_code(name: str) -> None:
    roots = {imported.partition(".")[0] for imported in imports(MODULES[name])}
    assert not roots & {"functions", "local", "tests", "benchmarks", "pydantic", "requests", "moto"}


@pytest.mark.parametrize(("folder", "other"), [("tests", "benchmarks"), ("benchmarks", "tests"), ("local", "tests")])
def test_folder_does_without_another(folder: str, other: str) -> None:
    roots = {name.partition(".")[0] for path in (ROOT / folder).rglob("*.py") for name in imports(path)}
    assert other not in roots


@each_handler
def test_handler_is_wiring(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 100
    assert own_imports(path) <= HANDLERS_IMPORT
    assert "functions" not in {name.partition(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", [*MODULES.values(), *HANDLERS], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree(path))


@each_module
def test_examples_in_the_documentation_are_true(name: str) -> None:
    module = importlib.import_module(PACKAGE if name == "__init__" else f"{PACKAGE}.{name}")
    assert module.__doc__
    assert doctest.testmod(module).failed == 0
