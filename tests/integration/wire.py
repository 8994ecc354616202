"""A server for answers that no correct HTTP library would send, and certificates for it."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

SUCCESS = {"code": "0000", "data": None, "message": "success", "success": True}
FAILURE = {"code": "9500", "data": None, "message": "no", "success": False}


def answer(body: Any = SUCCESS, status: int = 200, **headers: str) -> bytes:
    """Return an HTTP answer; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    given = {"Content-Type": "application/json", "Content-Length": str(len(content))}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in given.items()), "", ""]
    return "\r\n".join(lines).encode() + content


class Wire:
    """A server that answers with the bytes that it is given, and only them.

    Parameters
    ----------
    *answers : bytes
        One for each request, whatever its connection; the last one is repeated.
    hang_up : bool
        Whether the connection is closed after an answer that did not say so.
    tls : ssl.SSLContext, optional
        To use TLS.
    before_handshake : Callable[[], None], optional
        Called for each connection before that.
    """

    def __init__(
        self,
        *answers: bytes,
        hang_up: bool = False,
        tls: ssl.SSLContext | None = None,
        before_handshake: Callable[[], None] = lambda: None,
    ) -> None:
        self.requests: list[tuple[str, bytes]] = []
        # When each came, in seconds of the monotonic clock.
        self.times: list[float] = []
        self.connections = 0
        self.hung_up = threading.Event()
        self._answers = list(answers)
        self._hang_up = hang_up
        self._tls = tls
        self._before_handshake = before_handshake
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(30)

    def say(self, words: bytes) -> None:
        """Send something on every connection, without a request."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.sendall(words)

    def answer_with(self, *answers: bytes) -> None:
        """Answer with these from now on."""
        self._answers = list(answers)

    def _start(self, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(30)
                self._open.append(connection)
                self.connections += 1
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._tls:
                self._before_handshake()
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            with connection, connection.makefile("rb") as stream:
                while head := _read_head(stream):
                    self.times.append(time.monotonic())
                    lengths = [line for line in head.lower().splitlines() if line.startswith("content-length:")]
                    # A request that reads has no body.
                    length = int(lengths[0].partition(":")[2]) if lengths else 0
                    self.requests.append((head, stream.read(length)))
                    connection.sendall(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])
                    if self._hang_up:
                        break
                connection.shutdown(socket.SHUT_RDWR)
        self.hung_up.set()


def _read_head(stream: Any) -> str:
    lines = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        lines.append(line.decode())
    return "".join(lines)


def self_signed(directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context with a new certificate for 127.0.0.1, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign"), False
    )
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=True, encipher_only=False, decipher_only=False, **usage
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, private = directory / "certificate.pem", directory / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, private)
    return server, ssl.create_default_context(cafile=str(chain))
