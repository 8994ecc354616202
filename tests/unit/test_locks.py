"""The locks: every package with its hashes, and each lock true to the list it was made of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
LISTS = sorted([*(PROJECT / "requirements").glob("*.in"), *(PROJECT / "layers").rglob("*.in")])


def locked(path: Path) -> dict[str, str]:
    """Return the text of each package in a lock: its version, its hashes, and what asked for it."""
    entries = re.split(r"^(?=[a-z0-9])", path.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return {canonicalize_name(re.split(r"[=\[; ]", entry)[0]): entry for entry in entries}


def wanted(path: Path) -> list[Requirement]:
    """Return the packages that a list names itself."""
    lines = path.read_text("utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-r "))]


def by_name(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


def test_there_is_a_lock_for_every_list_and_a_list_for_every_lock() -> None:
    locks = [*(PROJECT / "requirements").glob("*.txt"), *(PROJECT / "layers").rglob("*.txt")]

    assert sorted(path.with_suffix(".txt") for path in LISTS) == sorted(locks)
    # And `make lock` makes each of them
    script = (PROJECT / "scripts" / "lock").read_text("utf-8")
    for path in LISTS:
        assert f"\ncompile {by_name(path.with_suffix(''))}\n" in script


@pytest.mark.parametrize("path", LISTS, ids=by_name)
def test_package_is_locked_to_one_version_with_hashes(path: Path) -> None:
    entries = locked(path.with_suffix(".txt"))

    assert entries
    for name, entry in entries.items():
        assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==[0-9a-z.+!]+( ; [^\n]+)? \\\n", entry), name
        assert re.search(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$", entry, re.MULTILINE), name


@pytest.mark.parametrize("path", LISTS, ids=by_name)
def test_lock_is_of_its_list(path: Path) -> None:
    entries = locked(path.with_suffix(".txt"))
    requirements = wanted(path)

    # Every package that is asked for is locked, in a version that will do
    for requirement in requirements:
        version = entries[canonicalize_name(requirement.name)].partition("==")[2].split()[0]
        assert requirement.specifier.contains(version, prereleases=True), requirement
    # And none is locked that nobody asks for any more
    asked_for_here = {name for name, entry in entries.items() if re.search(r"-r \S+\.in$", entry, re.MULTILINE)}
    assert asked_for_here == {canonicalize_name(requirement.name) for requirement in requirements}


def test_development_has_the_packages_of_the_layer() -> None:
    layer, development = (
        locked(PROJECT / folder / name)
        for folder, name in (("layers/dependencies", "requirements.txt"), ("requirements", "dev.txt"))
    )

    for name, entry in layer.items():
        assert development[name].partition(" ")[0] == entry.partition(" ")[0]
