"""How many queries the rows of a campaign take at least: those that are alike may share one."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

from cube_sms.delivery import most_together, share_of
from cube_sms.provider import CredentialStore, make_provider

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from cube_sms.platform import Settings
    from cube_sms.request import SendRequest

# Different kinds of rows that are counted: a hundred thousand take 20 MB of memory.
MOST_KINDS = 100_000


class FewestQueries:
    """Counts the queries that requests take at least.

    How many share one hangs on what Lambda gives to an invocation. So they may take more, but never fewer.

    Parameters
    ----------
    most_together : Callable[[str], int]
        How many messages of an account can share a query.

    Examples
    --------
    >>> from cube_sms.request import SendRequest
    >>> counted = FewestQueries(lambda account: 100)
    >>> for number in range(250):
    ...     counted.add(SendRequest(device_id=f"89314404{number:012}", content="Hello"))
    >>> counted.count
    3
    """

    def __init__(self, most_together: Callable[[str], int]) -> None:
        self._most_together = cache(most_together)
        self._alone = 0
        # By a digest of what they share, and by the most of one query.
        self._alike: Counter[tuple[int, int]] = Counter()

    @property
    def count(self) -> int:
        """The fewest queries so far."""
        return self._alone + sum(-(-rows // most) for (_, most), rows in self._alike.items())

    def add(self, request: SendRequest) -> None:
        """Count a request.

        Parameters
        ----------
        request : SendRequest
            The request.
        """
        share = share_of(request, self._most_together(request.account))
        if share is None:
            self._alone += 1
            return
        kind = (hash(share.key), share.most)
        if kind not in self._alike and len(self._alike) >= MOST_KINDS:
            # As if all others were alike.
            kind = (0, share.most)
        self._alike[kind] += 1


def sharing(settings: Settings, secrets_manager: SecretsManagerClient) -> Callable[[str], int]:
    """Return the function that says how many messages of an account share a query at most, in a deployment.

    Parameters
    ----------
    settings : Settings
        The deployment's settings.
    secrets_manager : SecretsManagerClient
        boto3's client.

    Returns
    -------
    Callable[[str], int]
        What the account's dialect allows, but no more than Lambda gives to one invocation.
    """
    provider = make_provider(settings, connections=1)
    credentials = CredentialStore(secrets_manager, settings.cube_secret_id, max_age=settings.secret_max_age)
    return lambda account: min(most_together(provider, credentials, account), settings.queue_batch_size)
