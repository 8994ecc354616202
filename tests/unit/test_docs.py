"""The documents: links lead somewhere, what they name is there, and no command undoes what samconfig.toml says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS_OF_PAGES = [ROOT / name for name in ("docs", ".github")]
PAGES = [
    *sorted([*ROOT.glob("*.md"), ROOT / "examples" / "README.md"]),
    *(page for folder in FOLDERS_OF_PAGES for page in sorted(folder.rglob("*.md"))),
]
# It tells of what was, too.
HISTORY = ROOT / "CHANGELOG.md"

# Stacks of its own, with the parameters that each step names.
FIRST_DEPLOYMENT = ROOT / "docs" / "first-deployment.md"

DECISIONS = ROOT / "docs" / "decisions.md"
# Context, choice and consequence, one or two sentences each
MOST_WORDS_OF_A_DECISION = 100

LAYER = ROOT / "layers" / "cube" / "cube_sms"
PACKAGES = {path.parent.relative_to(LAYER).as_posix() for path in LAYER.glob("*/**/__init__.py")}
FOLDERS = "|".join({path.name for path in ROOT.iterdir() if path.is_dir()} | PACKAGES)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


each_page = pytest.mark.parametrize("page", PAGES, ids=name)


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    nowhere = []
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            nowhere.append(target)
    assert nowhere == []


@pytest.mark.parametrize("page", [page for page in PAGES if page != HISTORY], ids=name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]+\.\w+)`", prose(page))
    assert [path for path in named if not (ROOT / path).exists() and not (LAYER / path).exists()] == []


def test_architecture_tells_of_every_package_and_of_modules_that_are_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w/]+)` \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE)
    assert {package for package, _ in rows} == PACKAGES
    modules = [LAYER / package / module for package, cell in rows for module in re.findall(r"`(\w+\.py)`", cell)]
    assert [path for path in modules if not path.exists()] == []


def test_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


def test_decisions_are_numbered_in_their_order() -> None:
    headings = re.findall(r"^## (.+)$", DECISIONS.read_text("utf-8"), re.MULTILINE)
    numbers = [re.match(r"(\d+)\. ", heading) for heading in headings]
    assert [heading for heading, number in zip(headings, numbers, strict=True) if not number] == []
    rising = [int(number[1]) for number in numbers if number]
    assert rising == sorted(set(rising))


def test_each_decision_fits_on_a_screen() -> None:
    entries = DECISIONS.read_text("utf-8").split("\n## ")[1:]
    assert entries
    assert [entry.splitlines()[0] for entry in entries if len(entry.split()) > MOST_WORDS_OF_A_DECISION] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page != FIRST_DEPLOYMENT], ids=name)
def test_no_command_takes_the_place_of_an_environments_parameters(page: Path) -> None:
    # On the command line they replace the whole list of samconfig.toml, and with it the production address
    commands = re.findall(r"^ *```(?:bash|console)\n(.*?)^ *```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert [command for command in commands if "--parameter-overrides" in command] == []


def test_steps_of_the_first_deployment_are_numbered_and_say_what_is_expected() -> None:
    steps = re.findall(r"^(\d+)\. (.*)$", FIRST_DEPLOYMENT.read_text("utf-8"), re.MULTILINE)
    assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1))
    assert [step for _, step in steps if not re.fullmatch(r"\*\*[^*]+:\*\* .+ → .+", step)] == []
    assert len(steps) >= 30


def test_each_part_of_a_message_that_is_explained_is_there() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    explained = page.partition("What each does for a message")[2].partition("<!--")[0]
    modules = re.findall(r"^\| `(.+?)` \|", explained, re.MULTILINE)
    folders = (ROOT / "layers" / "cube", ROOT / "functions" / "send_from_queue")
    assert modules
    assert [module for module in modules if not any((folder / module).is_file() for folder in folders)] == []
