"""``cube-sms`` as it is installed: what its wheel holds, and what a shell completes."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cube_sms import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
UV = ROOT / ".venv-uv" / "bin" / "uv"
COMMAND = Path(sys.executable).with_name("cube-sms")


def run(*arguments: str | Path, **members: str) -> str:
    environment = {**os.environ, "UV_PREVIEW_FEATURES": "package-conflicts", **members}
    ended = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel that uv and pipx would install from the repository. What builds it is in uv's cache."""
    folder = tmp_path_factory.mktemp("wheel")
    run(UV, "build", "--quiet", "--offline", "--wheel", "--out-dir", folder, ROOT)
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_holds_the_command_and_the_layers_code_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert wheel.name == f"cube_sms-{__version__}-py3-none-any.whl"
    assert {name.partition("/")[0] for name in names} == {
        "cube_sms",
        "cube_sms_cli",
        f"cube_sms-{__version__}.dist-info",
    }
    for package in (ROOT / "cli" / "cube_sms_cli", ROOT / "layers" / "cube" / "cube_sms"):
        modules = {str(path.relative_to(package.parent)) for path in package.rglob("*.py")}
        assert {name for name in names if name.startswith(f"{package.name}/") and name.endswith(".py")} == modules
    assert [name for name in names if name.endswith(".json")] == ["cube_sms_cli/operator-policy.json"]


def test_the_command_brings_what_the_layers_code_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

    assert set(project["dependency-groups"]["layer"]) <= set(project["project"]["dependencies"])


def test_the_wheel_installs_and_runs_elsewhere(wheel: Path, tmp_path: Path) -> None:
    # Given an environment of its own, with the packages that the wheel needs and no repository
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path)
    paths = sysconfig.get_path("purelib", vars={"base": str(tmp_path), "platbase": str(tmp_path)})
    Path(paths, "needed.pth").write_text(sysconfig.get_path("purelib"), "utf-8")

    # When it is installed there
    python = tmp_path / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel)

    # Then it is the one that runs
    assert run(tmp_path / "bin" / "cube-sms", "version").strip() == __version__
    where = run(python, "-c", "import cube_sms, cube_sms_cli.main; print(cube_sms.__file__, cube_sms_cli.__file__)")
    assert all(path.startswith(paths) for path in where.split())
    assert "Operate a deployed stack" in run(tmp_path / "bin" / "cube-sms", "--help")
    # And it has what it reads
    assert "look" in run(python, "-c", "from cube_sms_cli.policies import policies; print(*policies())").split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown_for(shell: str) -> None:
    # Typer detects which shell runs it. If the variable switches that off, Typer takes a name instead
    shown = run(COMMAND, "--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")

    assert f"complete_{shell}" in shown
    assert "cube-sms" in shown


def completed(shell: str, words: str) -> str:
    by_shell: dict[str, Mapping[str, str]] = {
        "bash": {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))},
        "zsh": {"_TYPER_COMPLETE_ARGS": words},
        "fish": {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }
    return run(COMMAND, _CUBE_SMS_COMPLETE=f"complete_{shell}", **by_shell[shell])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_proposes(shell: str) -> None:
    # Commands that begin so, and options
    assert "version" in completed(shell, "cube-sms vers")
    assert "cancel" not in completed(shell, "cube-sms vers")
    assert "--profile" in completed(shell, "cube-sms version --pro")
