"""Checks of the accounts' credentials, and of the connection to Cube."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from cube_sms.platform import default_ssl_context, parse_base_url
from cube_sms.provider import CredentialsError
from cube_sms_cli.secret import ADDRESS, credential_store, dialect_of, is_denied, told

from .finding import fault, not_checked, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cube_sms_cli.stack import Stack

    from .finding import Finding

# Longer than the three seconds of the functions.
CONNECT_SECONDS = 5.0


def check_secret(stack: Stack) -> Iterator[Finding]:
    """Check that each account has its credentials. No value is shown."""
    store = credential_store(stack)
    advice = "Store it again: cube-sms account add"
    try:
        accounts = store.accounts()
    except CredentialsError as error:
        yield not_checked("secret", told(error)) if is_denied(error) else fault("secret", told(error), advice)
        return
    for account in accounts:
        try:
            dialect = dialect_of(store.get(account))
        except CredentialsError as error:
            yield fault("secret", told(error), advice)
        else:
            yield ok("secret", f"account {account}: complete, uses {dialect}")


def check_address(stack: Stack) -> Iterator[Finding]:
    """Look up Cube's name, and connect as the functions do. Their network may differ from this machine's."""
    for base_url in sorted({stack.parameters[name] for name in _addresses(stack)}):
        yield _reached(base_url)


def _addresses(stack: Stack) -> set[str]:
    """Return the parameters with the addresses that accounts need; all of them if the secret is unreadable."""
    store = credential_store(stack)
    try:
        return {ADDRESS[dialect_of(store.get(account))] for account in store.accounts()}
    except CredentialsError:
        return set(ADDRESS.values())


def _reached(base_url: str) -> Finding:

    url = parse_base_url(base_url)
    host, port = str(url.hostname), url.port or (443 if url.scheme == "https" else 80)
    where = f"{host}:{port}"
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS) as connection:
            address = connection.getpeername()[0]
            if url.scheme != "https":
                return ok("Cube", f"{where} ({address}), without TLS, on this machine")
            with default_ssl_context().wrap_socket(connection, server_hostname=host) as encrypted:
                return ok("Cube", f"{where} ({address}), {encrypted.version()}, verified, from this machine")
    except socket.gaierror:
        advice = "Is the address right? Has this machine a name server?"
        return fault("Cube", f"{host} has no address in DNS.", advice)
    except ssl.SSLCertVerificationError as error:
        advice = "Does a proxy between here and Cube decrypt connections? Ask the provider about the certificate."
        return fault("Cube", f"The certificate of {where} cannot be verified: {error.verify_message}.", advice)
    except ssl.SSLError as error:
        return fault("Cube", f"{where} fails to set up TLS: {error.reason}.", "Is the address right?")
    except OSError as error:
        advice = (
            "Is the address right, and may this machine connect? "
            "Functions may use another network: docs/guides/fixed-address.md"
        )
        return fault("Cube", f"{where} cannot be reached from here ({type(error).__name__}).", advice)
