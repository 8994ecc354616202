"""What the layer keeps of botocore's descriptions: enough for what the functions call."""

from __future__ import annotations

import ast
import gzip
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore
import pytest
from botocore.config import Config
from botocore.exceptions import UnknownServiceError
from botocore.session import Session

from layers.dependencies.build import SERVICES, slim_descriptions

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
SOURCES = [*(ROOT / "layers" / "cube").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]
DATA = Path(botocore.__file__).parent / "data"

# What boto3's own helpers call, small files and large ones.
HELPERS = {
    "upload_fileobj": {"PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"}
    | {"AbortMultipartUpload"}
}

whole_client: Any = boto3.client


def calls(path: Path) -> set[str]:
    """Return the names of all methods that a file calls."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8"), path))
    return {node.func.attr for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)}


@pytest.fixture(scope="module")
def slim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The descriptions as the layer has them."""
    data = tmp_path_factory.mktemp("botocore") / "data"
    shutil.copytree(DATA, data, ignore=lambda folder, names: set(names) - {*SERVICES} if folder == str(DATA) else set())
    for path in DATA.glob("*.json"):
        shutil.copy(path, data)
    slim_descriptions(data)
    return data


@pytest.fixture
def client(slim: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Make clients that know the layer's descriptions and no others."""
    core = Session()
    core.get_component("data_loader")._search_paths = [str(slim)]
    session = boto3.Session("access-key", "secret-key", region_name="eu-central-1", botocore_session=core)
    return session.client


def test_every_operation_that_is_called_is_described_and_no_other() -> None:
    called = set().union(*map(calls, SOURCES))
    by_helpers = set().union(*(HELPERS[name] for name in called & HELPERS.keys()))
    for service, kept in SERVICES.items():
        operations = whole_client(service, region_name="eu-central-1").meta.method_to_api_mapping
        needed = {operations[name] for name in called & operations.keys()}
        needed |= by_helpers & set(operations.values())
        assert needed == kept, service


@pytest.mark.parametrize("service", SERVICES)
def test_description_of_an_operation_is_whole(client: Callable[..., Any], service: str) -> None:
    ours = client(service).meta.service_model
    theirs = Session().get_service_model(service)
    assert set(ours.operation_names) == SERVICES[service]
    for name in ours.operation_names:
        mine, whole = ours.operation_model(name), theirs.operation_model(name)
        assert described(mine.input_shape) == described(whole.input_shape)
        assert described(mine.output_shape) == described(whole.output_shape)
        assert [shape.name for shape in mine.error_shapes] == [shape.name for shape in whole.error_shapes]


@pytest.mark.parametrize("region", ["eu-central-1", "us-gov-west-1", "cn-north-1"])
@pytest.mark.parametrize("options", [{}, {"use_fips_endpoint": True}, {"use_dualstack_endpoint": True}], ids=str)
@pytest.mark.parametrize("service", SERVICES)
def test_service_is_where_it_was(
    client: Callable[..., Any], service: str, region: str, options: dict[str, bool]
) -> None:
    config = Config(**options)  # type: ignore[arg-type]
    ours = client(service, region_name=region, config=config)
    theirs = whole_client(service, region_name=region, config=config)
    assert ours.meta.endpoint_url == theirs.meta.endpoint_url
    assert ours.meta.partition == theirs.meta.partition


def test_other_services_are_unknown(client: Callable[..., Any]) -> None:
    with pytest.raises(UnknownServiceError):
        client("ec2")


def test_descriptions_are_smaller(slim: Path) -> None:
    before = [
        len(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
        for folder in [*(DATA / service for service in SERVICES), DATA]
        for path in (folder.rglob("*.json*") if folder != DATA else folder.glob("*.json"))
    ]
    after = [path.stat().st_size for path in slim.rglob("*.json")]
    assert sum(after) < sum(before) / 4


def described(shape: Any, seen: tuple[str, ...] = ()) -> Any:
    """Return all that serialising and parsing take from a shape."""
    if shape is None or shape.name in seen:
        return shape and shape.name
    inner = (*seen, shape.name)
    members = {name: described(member, inner) for name, member in getattr(shape, "members", {}).items()}
    parts = [described(getattr(shape, part, None), inner) for part in ("member", "key", "value")]
    return shape.type_name, json.dumps(shape.serialization, sort_keys=True), members, parts
