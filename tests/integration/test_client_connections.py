"""The connections of the client: TLS, reuse, idleness and their number."""

from __future__ import annotations

import gc
import select
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from cube_sms.platform.tls import default_ssl_context
from cube_sms.provider.base import CubeError, CubeOutcomeUnknown, CubeRejected, CubeUnavailable
from cube_sms.provider.http import MAX_IDLE_SECONDS, Connections
from layers.dependencies.build import write_authorities
from local.cube_simulator import CubeSimulator
from tests.integration.wire import FAILURE, Wire, answer, self_signed
from tests.support import ACCESS_CODE, CREDENTIALS, SECRET, post, send_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cube_sms.provider.csss.client import CubeClient


class Authorities:
    """A server, a folder that knows its certificate and one that knows none, made as the layer's is."""

    def __init__(self, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server, _ = self_signed(scratch)
        self.chain, self.empty, self.knowing = (scratch / name for name in ("certificate.pem", "empty", "knowing"))
        self.empty.mkdir()
        write_authorities(self.chain, self.knowing)
        self._variables = monkeypatch

    def tell(self, variable: str, place: Path, *, folder: Path | None = None) -> ssl.SSLContext:
        """Set a variable, and return the context of a folder then."""
        self._variables.setenv(variable, str(place))
        default_ssl_context.cache_clear()
        return default_ssl_context(folder or self.empty)


@pytest.fixture
def authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authorities]:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    default_ssl_context.cache_clear()
    yield Authorities(tmp_path, monkeypatch)
    default_ssl_context.cache_clear()


class TestTls:
    def test_trusted_certificate_is_taken(self, connect: Callable[..., CubeClient], tmp_path: Path) -> None:
        server, trusting = self_signed(tmp_path)
        with Wire(answer(), tls=server) as wire:
            client = connect(wire.url, ssl_context=trusting)
            assert [post(client, send_request()).code for _ in range(2)] == ["0000", "0000"]
            assert (wire.connections, len(wire.requests)) == (1, 2)

    def test_untrusted_certificate_is_unavailable(self, connect: Callable[..., CubeClient], tmp_path: Path) -> None:
        server, _ = self_signed(tmp_path)
        with Wire(answer(), tls=server) as wire:
            with pytest.raises(CubeUnavailable):
                post(connect(wire.url), send_request())
            assert wire.requests == []

    def test_certificate_of_another_host_is_unavailable(
        self, connect: Callable[..., CubeClient], tmp_path: Path
    ) -> None:
        # Given a trusted certificate for the address 127.0.0.1 alone
        server, trusting = self_signed(tmp_path)
        with Wire(answer(), tls=server) as wire:
            with pytest.raises(CubeUnavailable):
                post(connect(f"https://localhost:{wire.port}", ssl_context=trusting), send_request())
            assert wire.requests == []

    @pytest.mark.parametrize("teller", [None, "SSL_CERT_FILE", "SSL_CERT_DIR"])
    def test_authorities_are_those_of_a_folder_unless_openssl_is_told_others(
        self, connect: Callable[..., CubeClient], authorities: Authorities, teller: str | None
    ) -> None:
        # Given a server whom one of two folders knows, and OpenSSL's own variables or none
        with Wire(answer(), tls=authorities.server) as wire:
            url = f"https://127.0.0.1:{wire.port}"
            with pytest.raises(CubeUnavailable):
                post(connect(url, ssl_context=default_ssl_context(authorities.empty)), send_request())
            assert wire.requests == []
            # When it is trusted
            places = {"SSL_CERT_FILE": authorities.chain, "SSL_CERT_DIR": authorities.knowing}
            context = authorities.tell(teller, places[teller]) if teller else default_ssl_context(authorities.knowing)
            # Then a message can be sent to it
            assert post(connect(url, ssl_context=context), send_request()).code == "0000"

    def test_nobody_is_trusted_where_openssl_is_told_a_place_that_is_not_there(
        self, connect: Callable[..., CubeClient], authorities: Authorities
    ) -> None:
        # Given a variable with a mistake, on a machine that has authorities where OpenSSL looks by default
        places = ssl.get_default_verify_paths()
        has_file = Path(places.openssl_cafile).is_file()
        variable = places.openssl_cafile_env if has_file else places.openssl_capath_env
        context = authorities.tell(variable, authorities.empty / "missing", folder=authorities.knowing)
        # When something is sent, then it is not, though the folder knows the server
        with Wire(answer(), tls=authorities.server) as wire:
            with pytest.raises(CubeUnavailable):
                post(connect(f"https://127.0.0.1:{wire.port}", ssl_context=context), send_request())
            assert wire.requests == []

    def test_server_without_tls_is_unavailable(self, connect: Callable[..., CubeClient]) -> None:
        with Wire(answer()) as wire, pytest.raises(CubeUnavailable):
            post(connect(f"https://127.0.0.1:{wire.port}"), send_request())

    def test_handshake_that_takes_too_long_is_unavailable(self, connect: Callable[..., CubeClient]) -> None:
        # Given a server that takes the connection and never says a word
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = connect(f"https://127.0.0.1:{server.getsockname()[1]}", connect_timeout=0.3)
            started = time.monotonic()
            with pytest.raises(CubeUnavailable):
                post(client, send_request())
        assert time.monotonic() - started < 0.3 + 5

    @pytest.mark.parametrize("check", ["nothing", "host name"])
    def test_context_that_does_not_verify_is_refused(self, connect: Callable[..., CubeClient], check: str) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        if check == "nothing":
            context.verify_mode = ssl.CERT_NONE
        with pytest.raises(ValueError, match="verify"):
            connect("https://cube.example", ssl_context=context)


class TestBaseUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "http://cube.example",
            "http://10.0.0.1:8080/cube/v4",
            "http://localhost.cube.example",
            "http://127.0.0.1.cube.example",
            "http://127.0.0.1@cube.example",
            "http://0.0.0.0",
            "HTTP://cube.example",
        ],
    )
    def test_plain_http_is_for_loopback_alone(self, connect: Callable[..., CubeClient], url: str) -> None:
        with pytest.raises(ValueError, match="https://"):
            connect(url)

    @pytest.mark.parametrize(
        "url", ["", "cube.example", "ftp://cube.example", "https://", "https:///cube", "https://cube.example?a=b"]
    )
    def test_what_is_no_base_url_is_refused(self, connect: Callable[..., CubeClient], url: str) -> None:
        with pytest.raises(ValueError, match="https://"):
            connect(url)


class TestReuse:
    @pytest.mark.parametrize(("idle", "connections"), [(MAX_IDLE_SECONDS - 1, 1), (MAX_IDLE_SECONDS + 1, 2)])
    def test_connection_that_was_idle_for_too_long_is_not_used(
        self, cube: CubeSimulator, connect: Callable[..., CubeClient], idle: float, connections: int
    ) -> None:
        # Given
        now = time.time()
        client = connect(cube.url, clock=lambda: now)
        post(client, send_request())
        # When
        now += idle
        post(client, send_request())
        # Then
        assert (cube.stats()["accepted"], cube.stats()["connections"]) == (2, connections)

    def test_connection_that_the_server_closed_while_idle_is_not_used(self, connect: Callable[..., CubeClient]) -> None:
        # Given a server that closes a connection after its answer without having said so
        with Wire(answer(), hang_up=True) as wire:
            client = connect(wire.url)
            post(client, send_request())
            assert wire.hung_up.wait(30)
            # When, then
            assert post(client, send_request()).code == "0000"
            assert (wire.connections, len(wire.requests)) == (2, 2)

    def test_connection_that_the_server_announced_to_close_is_not_used(
        self, connect: Callable[..., CubeClient]
    ) -> None:
        with Wire(answer(Connection="close")) as wire:
            client = connect(wire.url)
            assert [post(client, send_request()).code for _ in range(2)] == ["0000", "0000"]
            assert wire.connections == 2

    @pytest.mark.parametrize(
        "first",
        [
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
            b"HTTP/1.1 102 Processing\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
        ],
        ids=["103", "102", "100"],
    )
    def test_late_answer_to_one_message_is_never_taken_for_the_answer_to_the_next(
        self, connect: Callable[..., CubeClient], first: bytes
    ) -> None:
        # Given a connection whose first answer is an interim one, and the final one comes with the next request
        with Wire(first, answer()) as wire:
            client = connect(wire.url, read_timeout=1)
            with pytest.raises(CubeOutcomeUnknown):
                post(client, send_request("First"))
            # When the next message is sent, then it goes over another connection
            post(client, send_request("Second"))
            assert (wire.connections, len(wire.requests)) == (2, 2)

    def test_what_follows_an_answer_is_never_taken_for_the_answer_to_the_next(
        self, connect: Callable[..., CubeClient]
    ) -> None:
        # Given a refusal with a further, unasked answer behind it
        with Wire(answer(FAILURE) + answer(), answer(FAILURE)) as wire:
            client = connect(wire.url)
            for _ in range(2):
                with pytest.raises(CubeRejected):
                    post(client, send_request())

    def test_answer_that_nobody_asked_for_is_never_taken_for_the_answer_to_the_next(
        self, connect: Callable[..., CubeClient]
    ) -> None:
        # Given a connection that is ready for the next message
        with Wire(answer(FAILURE)) as wire:
            client = connect(wire.url)
            with client.connection(CREDENTIALS) as connection:
                connection.open()
                with pytest.raises(CubeRejected):
                    post(client, send_request(), over=connection)
                # When an answer comes by itself, and arrives before the last look
                wire.say(answer())
                readable, _, _ = select.select([connection._http.sock], [], [], 30)
                assert readable
                connection.open()
                # Then the next message has the answer that is meant for it
                with pytest.raises(CubeRejected):
                    post(client, send_request(), over=connection)
            assert (wire.connections, len(wire.requests)) == (2, 2)

    def test_fresh_connection_stays_though_tls_has_more_to_say(
        self, connect: Callable[..., CubeClient], tmp_path: Path
    ) -> None:
        # Given a connection over TLS 1.3, whose session tickets come when they come
        server, trusting = self_signed(tmp_path)
        with Wire(answer(), tls=server) as wire:
            client = connect(wire.url, ssl_context=trusting)
            with client.connection(CREDENTIALS) as connection:
                connection.open()
                readable, _, _ = select.select([connection._http.sock], [], [], 30)
                assert readable
                connection.open()
                assert post(client, send_request(), over=connection).code == "0000"
            assert wire.connections == 1


class TestNumber:
    @pytest.mark.parametrize("size", [1, 3])
    def test_threads_share_the_connections_that_are_allowed(
        self, connect: Callable[..., CubeClient], size: int
    ) -> None:
        # Given a provider that refuses one connection more, and many threads
        options = {"qps": 0, "quota": 0, "connections": size, "latency": 0.02}
        with CubeSimulator(account=f"{ACCESS_CODE}={SECRET}", **options) as cube, ThreadPoolExecutor(8) as threads:
            client = connect(cube.url, size=size)
            # When
            answers = list(threads.map(lambda n: post(client, send_request(str(n))), range(40)))
            # Then
            stats = cube.stats()
            client.close()
        assert {answer.code for answer in answers} == {"0000"}
        assert stats["accepted"] == 40
        assert stats["connections"] <= size
        assert stats["highestConcurrency"] <= size

    def test_failures_give_their_connections_back(
        self, cube: CubeSimulator, connect: Callable[..., CubeClient]
    ) -> None:
        # Given a client with one connection, when it breaks in every way
        client = connect(cube.url, read_timeout=2)
        for fault in ("reset", "drop", "lost", "truncated", "garbage", "huge", "bomb", "delay:60", "status:503"):
            cube.configure(next_faults=[fault])
            with pytest.raises(CubeError):
                post(client, send_request())
        # Then there is one for the next message
        assert post(client, send_request()).code == "0000"


def test_what_is_dropped_in_a_cycle_closes_its_connections_first(cube: CubeSimulator) -> None:
    # Given connections that only the garbage collector closes, and that it finds after their sockets
    for _ in range(5):
        connections = Connections(connect_timeout=5.0, read_timeout=20.0, size=1)
        gc.collect(0)
        with connections.take(connections.server(cube.url)) as connection:
            connection.open()
        owner = SimpleNamespace(connections=connections)
        vars(connections)["owner"] = owner
    del connections, connection, owner
    # When it collects them, then no socket reports that it was not closed (pytest makes an error of such a report)
    gc.collect()
