"""What verifies servers."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path

import urllib3

# In the dependencies' layer, beside the packages: a file for each authority, named as OpenSSL looks for it.
AUTHORITIES = Path(urllib3.__file__).parents[1] / "authorities"


@cache
def default_ssl_context(authorities: Path = AUTHORITIES) -> ssl.SSLContext:
    """Return what verifies servers, one for all connections.

    Parameters
    ----------
    authorities : Path
        A folder of those to trust. Each is read when a server needs it: to read them all takes 20 ms of CPU and more,
        at every cold start (docs/decisions.md).

    Returns
    -------
    ssl.SSLContext
        It trusts what the machine trusts if there is no such folder. It also does so if OpenSSL's own variables
        (``SSL_CERT_FILE``, ``SSL_CERT_DIR``) name other places than OpenSSL does, even if these are missing.
    """
    places = ssl.get_default_verify_paths()
    untold = (
        places.openssl_cafile if Path(places.openssl_cafile).is_file() else None,
        places.openssl_capath if Path(places.openssl_capath).is_dir() else None,
    )
    is_told = (places.cafile, places.capath) != untold
    return ssl.create_default_context(capath=authorities if authorities.is_dir() and not is_told else None)
