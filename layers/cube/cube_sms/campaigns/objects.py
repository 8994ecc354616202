"""Objects of S3 that may be larger than memory: read and written piece by piece."""

from __future__ import annotations

import io
from itertools import batched
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mypy_boto3_s3 import S3Client

# A part at a time, in the thread that makes it, so that memory does not grow with the object.
_ONE_BY_ONE = TransferConfig(use_threads=False)
_CHUNK = 65_536
_LINES_AT_ONCE = 100


def read_chunks(s3: S3Client, bucket: str, key: str) -> Iterator[bytes]:
    """Return the pieces of an object. S3 is asked for it at once."""
    return s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(_CHUNK)


def read_lines(s3: S3Client, bucket: str, key: str, *, start: int = 0, size: int | None = None) -> Iterator[bytes]:
    """Return the lines of an object without their ends: all, or those in `size` bytes from `start` on."""
    part: Any = {} if size is None else {"Range": f"bytes={start}-{start + size - 1}"}
    return s3.get_object(Bucket=bucket, Key=key, **part)["Body"].iter_lines(_CHUNK)


def write_chunks(s3: S3Client, bucket: str, key: str, chunks: Iterable[bytes], *, content_type: str) -> None:
    """Make an object of pieces as they come. If the iterator raises an error, the object stays as it was."""
    body = io.BufferedReader(_Stream(iter(chunks)))
    s3.upload_fileobj(body, bucket, key, ExtraArgs={"ContentType": content_type}, Config=_ONE_BY_ONE)


def write_lines(s3: S3Client, bucket: str, key: str, lines: Iterable[bytes]) -> None:
    """Make an object of JSON Lines."""
    chunks = (b"\n".join([*some, b""]) for some in batched(lines, _LINES_AT_ONCE, strict=False))
    write_chunks(s3, bucket, key, chunks, content_type="application/jsonl")


def is_missing(error: ClientError) -> bool:
    """Return whether an error of S3 says that there is no such object."""
    return error.response["Error"]["Code"] == "NoSuchKey"


def let_go(s3: S3Client, bucket: str, *keys: str) -> None:
    """Mark objects that no run of a campaign needs any more: the bucket keeps them for as long as records.

    Deleted objects are left out.
    """
    for key in keys:
        try:
            s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": [{"Key": "campaign", "Value": "ended"}]})
        except ClientError as error:
            if not is_missing(error):
                raise


class _Stream(io.RawIOBase):
    """What an iterator yields, as a file to read from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._chunks, b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
