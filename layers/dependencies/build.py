"""Build the layer of third-party packages: for both of Lambda's architectures at once, compiled, without ballast.

One layer serves both architectures, because CPython looks for a native module under a file name of its platform
(``_core.cpython-313-aarch64-linux-gnu.so``). A module without such a name gets one. The same build can be deployed to
either, and runs on a laptop too.

The same lock gives the same bytes on every machine (docs/decisions.md).

Usage: ``python build.py TARGET`` puts ``TARGET/python`` and ``TARGET/wheels.sha256``, the wheels that are in it.
"""

from __future__ import annotations

import filecmp
import gzip
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

HERE = Path(__file__).parent
MACHINES = ("aarch64", "x86_64")

RUN = HERE / "layer.txt"
TOOLS = HERE / "layer-build.txt"

# botocore describes 400 services in 25 MB; the functions call these operations. A unit test compares.
SERVICES = {
    "dynamodb": {"BatchGetItem", "GetItem", "Query", "TransactWriteItems", "UpdateItem"},
    "events": {"PutEvents"},
    # What boto3's `upload_fileobj` calls, for small files and large ones, and the two calls of ours.
    "s3": {"GetObject", "PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"}
    | {"AbortMultipartUpload", "PutObjectTagging"},
    "secretsmanager": {"GetSecretValue"},
    "sqs": {"ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "SendMessage", "SendMessageBatch"},
    "stepfunctions": {"DescribeExecution", "SendTaskFailure", "SendTaskSuccess", "StartExecution"},
}
# What OpenSSL is to trust: botocore's list, which is Mozilla's.
BUNDLE = "botocore/cacert.pem"
# RECORD lists what pip installed rather than what is left, with hashes of scripts that name the Python they came from.
BALLAST = ("bin", "boto3/examples", "**/examples-1.json*", "**/__pycache__", "*.dist-info/RECORD")


def main(target: Path) -> None:
    """Build into ``target/python``."""
    python = target / "python"
    with tempfile.TemporaryDirectory() as scratch:
        builds = [install(Path(scratch, machine), RUN, linux_platform(machine)) for machine in MACHINES]
        for build, machine in zip(builds, MACHINES, strict=True):
            name_after_platform(build, machine)
        if platform.system() != "Linux":
            # For the local stack, which runs the functions on this machine.
            builds.append(install(Path(scratch, "host"), RUN, []))
        for build in builds:
            merge(build, python)
        wheels = {wheel for build in builds for wheel in read_wheels(build)}
        Path(target, "wheels.sha256").write_text("".join(sorted(wheels, key=lambda wheel: wheel.split()[1])), "utf-8")
        sys.path.insert(0, str(install(Path(scratch, "tools"), TOOLS, [])))
        write_authorities(python / BUNDLE, python / "authorities")
    remove_ballast(python)
    slim_descriptions(python / "botocore" / "data")
    compile_all(target)


def linux_platform(machine: str) -> list[str]:
    """Return pip's options for wheels that run on Lambda (Amazon Linux 2023, glibc 2.34)."""
    platforms = [f"--platform=manylinux_2_28_{machine}", f"--platform=manylinux2014_{machine}"]
    return [*platforms, "--implementation=cp", "--python-version=3.13", "--only-binary=:all:"]


def name_after_platform(build: Path, machine: str) -> None:
    """Give each native module that is for any Python 3 on one platform the name that is for this Python there."""
    for module in list(build.rglob("*.abi3.so")):
        module.rename(module.with_name(f"{module.name.removesuffix('.abi3.so')}.cpython-313-{machine}-linux-gnu.so"))


def install(target: Path, lock: Path, options: list[str]) -> Path:
    """Install locked packages into a folder."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    locked = ["--require-hashes", f"--requirement={lock}", f"--target={target}"]
    report = f"--report={report_of(target)}"
    subprocess.run([*pip, *options, *locked, report], check=True)  # noqa: S603 # nosec B603 # our own arguments
    return target


def report_of(build: Path) -> Path:
    """Return where pip says what it put into a folder."""
    return build.with_suffix(".json")


def read_wheels(build: Path) -> list[str]:
    """Return the wheels of a build, each as a line that ``sha256sum --check`` reads."""
    downloads = [package["download_info"] for package in json.loads(report_of(build).read_text("utf-8"))["install"]]
    return [
        f"{download['archive_info']['hashes']['sha256']}  {unquote(Path(urlsplit(download['url']).path).name)}\n"
        for download in downloads
    ]


def merge(build: Path, target: Path) -> None:
    """Copy a build into the target; a file that differs between two architectures is an error."""
    for source in sorted(path for path in build.rglob("*") if path.is_file()):
        copy = target / source.relative_to(build)
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
        elif ".dist-info" not in str(copy) and not filecmp.cmp(source, copy, shallow=False):
            raise SystemExit(f"{copy.relative_to(target)} differs between architectures: the layer cannot hold both")


def remove_ballast(python: Path) -> None:
    """Remove what no function reads."""
    for path in (python / "botocore" / "data").iterdir():
        if path.is_dir() and path.name not in SERVICES:
            shutil.rmtree(path)
    for pattern in BALLAST:
        for path in list(python.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def write_authorities(bundle: Path, target: Path) -> None:
    """Write each certificate of a bundle into a file under the name by which OpenSSL looks for it (`openssl rehash`).

    OpenSSL reads such a folder when it needs an authority, and then that one alone.
    """
    from OpenSSL import crypto

    target.mkdir()
    numbers: Counter[int] = Counter()
    for pem in re.findall(
        r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", bundle.read_text("utf-8"), re.S
    ):
        name = crypto.load_certificate(crypto.FILETYPE_PEM, pem.encode()).subject_name_hash()
        Path(target, f"{name:08x}.{numbers[name]}").write_text(pem, "utf-8")
        numbers[name] += 1


def slim_descriptions(data: Path) -> None:
    """Leave out of botocore's descriptions what no function needs: clients parse them at each cold start.

    That is the endpoints of other services, most of a file of 1.2 MB, other operations, and all documentation.
    """
    prefixes = set()
    for packed in sorted(data.rglob("*.json.gz")):
        description = without_documentation(json.loads(gzip.decompress(packed.read_bytes())))
        if packed.name.startswith("service-2."):
            keep_operations(description, SERVICES[packed.relative_to(data).parts[0]])
            prefixes.add(description["metadata"]["endpointPrefix"])
        # Not packed again: zlib's versions do that differently, and the same lock gives the same bytes.
        write_json(packed.with_suffix(""), description)
        packed.unlink()
    endpoints = json.loads((data / "endpoints.json").read_text("utf-8"))
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in services if name in prefixes}
    write_json(data / "endpoints.json", endpoints)


def keep_operations(description: dict[str, Any], names: set[str]) -> None:
    """Leave some of a service's operations, and the shapes of what they take and answer."""
    operations = {name: operation for name, operation in description["operations"].items() if name in names}
    shapes = description["shapes"]
    needed: set[str] = set()
    found = shapes_in(operations)
    while found - needed:
        needed |= found
        found = shapes_in([shapes[name] for name in needed])
    description["operations"] = operations
    description["shapes"] = {name: shape for name, shape in shapes.items() if name in needed}


def shapes_in(description: Any) -> set[str]:
    """Return the names of the shapes that part of a description refers to."""
    parts = description.values() if isinstance(description, dict) else description
    names = set().union(*(shapes_in(part) for part in parts if isinstance(part, dict | list)))
    if isinstance(description, dict) and isinstance(description.get("shape"), str):
        names.add(description["shape"])
    return names


def without_documentation(description: Any) -> Any:
    """Return a description of a service without the texts that are for people."""
    if isinstance(description, dict):
        # An empty text stays: of some members botocore asks for it.
        return {
            name: "" if name == "documentation" and isinstance(value, str) else without_documentation(value)
            for name, value in description.items()
        }
    if isinstance(description, list):
        return [without_documentation(value) for value in description]
    return description


def write_json(path: Path, content: Any) -> None:
    """Write a file that is read by programs alone."""
    path.write_text(json.dumps(content, separators=(",", ":")), "utf-8")


def compile_all(target: Path) -> None:
    """Compile every module, under the path that it has on Lambda.

    Lambda's code folder is read-only: what is not compiled here is compiled again at every cold start. The compiled
    files are not checked against their sources' times, which packaging changes.
    """
    options = ["-q", "-j0", "--invalidation-mode=unchecked-hash", "-s", str(target), "-p", "/opt"]
    command = [sys.executable, "-m", "compileall", *options, str(target / "python")]
    subprocess.run(command, check=True)  # noqa: S603 # nosec B603 # our own arguments


if __name__ == "__main__":
    main(Path(sys.argv[1]))
