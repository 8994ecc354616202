"""The files of campaigns: their source, and what the bucket keeps of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError

from .errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from mypy_boto3_s3 import S3Client

# The place of the rows of a campaign, as its run has read them.
_RUNS = "runs/"
_ROWS = ".rows.jsonl"


class CampaignBucket:
    """The stack's bucket for the files of campaigns.

    Parameters
    ----------
    s3 : S3Client
        boto3's client.
    name : str
        The bucket's name.
    """

    def __init__(self, s3: S3Client, name: str) -> None:
        self._s3 = s3
        self.name = name

    def key_of(self, file: str) -> str | None:
        """Return the key of a file that is in the bucket; None for one that is elsewhere.

        Parameters
        ----------
        file : str
            A local file, or ``s3://bucket/key``.
        """
        address = _Address.of(file)
        return address.key if address and address.bucket == self.name else None

    def put(self, file: str, key: str) -> None:
        """Copy a file from elsewhere.

        Parameters
        ----------
        file : str
            A local file, or ``s3://bucket/key``.
        key : str
            The key to write to.

        Raises
        ------
        OperatorError
            If there is no such file.
        """
        if address := _Address.of(file):
            try:
                self._s3.copy({"Bucket": address.bucket, "Key": address.key}, self.name, key)
            except ClientError as error:
                if error.response["Error"]["Code"] not in ("404", "NoSuchKey", "NoSuchBucket"):
                    raise
                raise OperatorError(f"There is no object {file}. Is its address right?") from None
        else:
            self._upload(file, key)

    def _upload(self, file: str, key: str) -> None:
        if not Path(file).is_file():
            raise OperatorError(f"There is no file {file}. Is its path right?")
        try:
            self._s3.upload_file(file, self.name, key)
        except OSError as error:
            raise OperatorError(f"{file} cannot be read: {error.strerror}. Who may read it?") from None
        except S3UploadFailedError as error:
            # boto3 puts what AWS says behind an error of its own.
            raise (error.__context__ or error) from None

    def delete(self, key: str) -> None:
        """Delete a file, whether it is there or not."""
        self._s3.delete_object(Bucket=self.name, Key=key)

    def campaigns(self, most: int) -> list[str]:
        """Return the names of campaigns whose files were read last, the newest first, so many at the most."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=_RUNS, Delimiter="/")
        found: list[tuple[datetime, str]] = [
            (each["LastModified"], each["Key"].removeprefix(_RUNS).removesuffix(_ROWS))
            for page in pages
            for each in page.get("Contents", [])
            if each["Key"].endswith(_ROWS)
        ]
        return [name for _, name in sorted(found, reverse=True)[:most]]

    def parts_of(self, key: str) -> Iterator[bytes]:
        """Return the parts of a file.

        Raises
        ------
        OperatorError
            If it is there no longer.
        """
        try:
            body = self._s3.get_object(Bucket=self.name, Key=key)["Body"]
        except self._s3.exceptions.NoSuchKey:
            raise OperatorError(f"{key} is kept no longer: docs/workflows.md says how long it is.") from None
        return body.iter_chunks(1 << 20)


class _Address(NamedTuple):
    bucket: str
    key: str

    @classmethod
    def of(cls, file: str) -> _Address | None:
        """Return the address of an object; None for a local file."""
        parts = urlsplit(file)
        # A key may hold what ends the path of another URL.
        return cls(parts.netloc, file.partition("://")[2].partition("/")[2]) if parts.scheme == "s3" else None
