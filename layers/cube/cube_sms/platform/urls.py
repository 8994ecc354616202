"""URLs of servers."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def parse_base_url(text: str) -> SplitResult:
    """Read a base URL.

    Parameters
    ----------
    text : str
        ``https://host[:port][/path]``; plain HTTP is accepted for loopback hosts alone.

    Returns
    -------
    SplitResult
        Its parts.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> parse_base_url("https://api-uat.io.linksfield.net/cube/v4").path
    '/cube/v4'
    """
    try:
        url = urlsplit(text)
        is_url = url.scheme in ("https", "http") and url.hostname and url.port != 0
    except ValueError:
        is_url = False
    if not is_url or url.query or url.fragment or url.username is not None or re.search(r"[^!-~]", text):
        raise ValueError("must be https://host[:port][/path]")
    if url.scheme == "http" and url.hostname not in _LOOPBACK:
        raise ValueError("must be https:// (plain http:// is for loopback hosts alone)")
    return url
