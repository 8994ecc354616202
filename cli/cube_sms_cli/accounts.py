"""The secret with the accounts: it is read and written as a whole, and nothing that others write meanwhile is lost.

A new version is stored beside the current one first. Then it becomes the current one, if nothing has changed since the
read. Secrets Manager moves a staging label only away from the version that is named.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import ClientError

from cube_sms.provider import read_accounts

from .errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mypy_boto3_secretsmanager import SecretsManagerClient

CURRENT = "AWSCURRENT"

# The staging labels of versions that are to become the current one, and of those that hold the credentials that an
# account had before. Secrets Manager may delete a version without a label.
_PENDING = "CUBE_SMS_PENDING_"
_PREVIOUS = "CUBE_SMS_PREVIOUS_"

_MISSING = "ResourceNotFoundException"


class Version(NamedTuple):
    """A version of the secret.

    Parameters
    ----------
    id : str or None
        Its id, None if the secret has no value yet.
    made_at : datetime or None
        When it was stored.
    entries : dict
        What it holds for each account, by name.
    holds_other : bool
        Whether it holds something else than accounts.
    """

    id: str | None
    made_at: datetime | None
    entries: dict[str, object]
    holds_other: bool = False


class Accounts:
    """The accounts of a stack's secret.

    Parameters
    ----------
    client : SecretsManagerClient
        boto3's client.
    secret_id : str
        Name or ARN of the secret.
    """

    def __init__(self, client: SecretsManagerClient, secret_id: str) -> None:
        self._client = client
        self._secret_id = secret_id

    def read(self, stage: str = CURRENT, *, anew: bool = False) -> Version:
        """Read a version of the secret.

        Parameters
        ----------
        stage : str
            Its staging label.
        anew : bool
            Whether it may hold something else than accounts.

        Returns
        -------
        Version
            The version. It has no id if there is none with this label.

        Raises
        ------
        OperatorError
            If it holds something else than accounts, and may not.
        """
        try:
            answer = self._client.get_secret_value(SecretId=self._secret_id, VersionStage=stage)
        except ClientError as error:
            if error.response["Error"]["Code"] != _MISSING:
                raise
            return Version(None, None, {})
        # A secret that was made without a value may have a version that holds none.
        is_empty = not (answer.get("SecretString") or answer.get("SecretBinary"))
        entries = {} if is_empty else read_accounts(answer.get("SecretString", ""))
        if entries is None and not anew:
            raise OperatorError(
                "The secret is not a JSON object of accounts. "
                "Discard everything in it: `cube-sms account add NAME --anew`."
            )
        return Version(answer["VersionId"], answer["CreatedDate"], entries or {}, holds_other=entries is None)

    def write(self, before: Version, entries: Mapping[str, object]) -> None:
        """Store the entries of all accounts, if the secret is still the version that was read.

        Parameters
        ----------
        before : Version
            What was read, and is to be replaced.
        entries : Mapping[str, object]
            What is to be there, by the names of the accounts.

        Raises
        ------
        OperatorError
            If somebody else was faster. Nothing has changed then.
        """
        token, text = str(uuid.uuid4()), json.dumps(entries, ensure_ascii=False)
        if before.id is None:
            # There is no version to keep.
            self._client.put_secret_value(SecretId=self._secret_id, ClientRequestToken=token, SecretString=text)
            return
        pending = f"{_PENDING}{token}"
        self._client.put_secret_value(
            SecretId=self._secret_id, ClientRequestToken=token, SecretString=text, VersionStages=[pending]
        )
        try:
            self._move(CURRENT, to=token, away_from=before.id)
        except ClientError:
            now = self.read(anew=True).id
            if now == before.id:
                raise
            # If it is ours, an answer was lost, and boto3 has asked again.
            if now != token:
                raise OperatorError(
                    "Somebody else has stored other credentials meanwhile, and nothing was changed. Run it again."
                ) from None
        finally:
            # Secrets Manager deletes what has no label, sooner or later. One too many does no harm.
            with contextlib.suppress(ClientError):
                self._move(pending, away_from=token)

    def kept(self) -> dict[str, str]:
        """Return the ids of the versions that are kept for accounts, by the names of those."""
        stages = self._client.describe_secret(SecretId=self._secret_id).get("VersionIdsToStages", {})
        return {
            label.removeprefix(_PREVIOUS): version
            for version, labels in stages.items()
            for label in labels
            if label.startswith(_PREVIOUS)
        }

    def previous(self, account: str) -> Version:
        """Return the version with what an account had before its rotation. It has no id if there is none."""
        return self.read(_PREVIOUS + account)

    def keep(self, account: str, version: str) -> None:
        """Keep a version for an account, until `let_go`."""
        self._move(_PREVIOUS + account, to=version)

    def let_go(self, account: str, version: str) -> None:
        """Keep a version no longer for an account."""
        self._move(_PREVIOUS + account, away_from=version)

    def _move(self, stage: str, *, to: str | None = None, away_from: str | None = None) -> None:
        versions = {"MoveToVersionId": to, "RemoveFromVersionId": away_from}
        self._client.update_secret_version_stage(
            SecretId=self._secret_id,
            VersionStage=stage,
            **{name: version for name, version in versions.items() if version},
        )
