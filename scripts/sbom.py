"""Write the bill of materials of the built layers: every package in them, as CycloneDX 1.6.

It is read off the layers themselves: the packages' own metadata, and the hashes of the wheels they came from. It holds
no time and no serial number, so that the same layers have the same bill, byte for byte.

Usage: ``python scripts/sbom.py BUILD FILE``, where BUILD is the folder that `sam build` made.
"""

from __future__ import annotations

import hashlib
import sys
import tomllib
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.spdx import fixup_id, is_expression
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from cube_sms import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.utils import NormalizedName

PROJECT = Path(__file__).parents[1]
LAYERS = ("CubeLayer", "DependenciesLayer")


def main(build: Path, target: Path) -> None:
    """Write the bill of a build."""
    target.write_text(f"{JsonV1Dot6(bill(build)).output_as_string(indent=2)}\n", "utf-8")


def bill(build: Path) -> Bom:
    """Return the bill of a build."""
    layer = build / "DependenciesLayer"
    wheels = read_wheels(layer / "wheels.sha256")
    packages = {canonicalize_name(package.name): package for package in distributions(path=[str(layer / "python")])}
    components = {name: describe(package, wheels[name]) for name, package in packages.items()}

    application = describe_application(build)
    bom = Bom(components=components.values())
    # The library fills these in with each build. Without them the bill is what CycloneDX calls reproducible.
    bom.serial_number = None  # type: ignore[assignment]
    bom.metadata.timestamp = None  # type: ignore[assignment]
    bom.metadata.properties.add(Property(name="cdx:reproducible", value="true"))
    bom.metadata.component = application
    bom.register_dependency(application, [components[name] for name in direct_requirements()])
    for name, package in packages.items():
        bom.register_dependency(components[name], [components[other] for other in requirements(package)])
    return bom


def describe_application(build: Path) -> Component:
    """Return our own component, with a digest of each layer as it was built."""
    own = project()["project"]
    return Component(
        name=own["name"],
        version=__version__,
        description=own["description"],
        type=ComponentType.APPLICATION,
        bom_ref=own["name"],
        purl=PackageURL("generic", None, own["name"], __version__),
        licenses=[LicenseFactory().make_with_id(own["license"])],
        properties=[Property(name=f"cube-sms:{layer}:sha256", value=digest(build / layer)) for layer in LAYERS],
    )


def describe(package: Distribution, wheels: list[tuple[str, str]]) -> Component:
    """Return the component of a third-party package, given the names and hashes of its wheels."""
    url = XsUri(f"https://pypi.org/project/{package.name}/{package.version}/#files")
    hashes = {wheel: HashType(alg=HashAlgorithm.SHA_256, content=sha256) for wheel, sha256 in wheels}
    purl = PackageURL("pypi", None, canonicalize_name(package.name), package.version)
    return Component(
        name=package.name,
        version=package.version,
        description=package.metadata["Summary"],
        bom_ref=purl.to_string(),
        purl=purl,
        # A package with native modules has a wheel for each architecture, and no hash that is its own.
        hashes=hashes.values() if len(hashes) == 1 else [],
        licenses=[
            LicenseFactory().make_from_string(licence, license_acknowledgement=LicenseAcknowledgement.DECLARED)
            for licence in licences(package)
        ],
        external_references=[
            ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=url, comment=wheel, hashes=[sha256])
            for wheel, sha256 in hashes.items()
        ],
        properties=[Property(name="cube-sms:layer", value="DependenciesLayer")],
    )


def licences(package: Distribution) -> list[str]:
    """Return the licences that a package declares: in SPDX's terms, else by its classifiers, else in its own words."""
    declared = package.metadata.get("License-Expression") or package.metadata.get("License") or ""
    if fixup_id(declared) or is_expression(declared):
        return [declared]
    classifiers = package.metadata.get_all("Classifier") or []
    return [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")] or [declared]


def requirements(package: Distribution) -> Iterator[NormalizedName]:
    """Yield the names of the packages that a package needs here, without its extras."""
    for line in package.requires or []:
        requirement = Requirement(line)
        if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
            yield canonicalize_name(requirement.name)


def direct_requirements() -> Iterator[NormalizedName]:
    """Yield the names of the packages that the functions import themselves."""
    for line in project()["dependency-groups"]["layer"]:
        yield canonicalize_name(Requirement(line).name)


def project() -> dict[str, Any]:
    """Return what `pyproject.toml` says."""
    return tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))


def read_wheels(path: Path) -> dict[NormalizedName, list[tuple[str, str]]]:
    """Return the names and hashes of the wheels of each package."""
    wheels: dict[NormalizedName, list[tuple[str, str]]] = {}
    for line in path.read_text("utf-8").splitlines():
        sha256, wheel = line.split()
        wheels.setdefault(parse_wheel_filename(wheel)[0], []).append((wheel, sha256))
    return wheels


def digest(layer: Path) -> str:
    """Return the SHA-256 of what ``sha256sum`` prints for a layer's files, sorted by name."""
    files = sorted(path.relative_to(layer).as_posix() for path in layer.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256((layer / name).read_bytes()).hexdigest()}  {name}\n" for name in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
