"""Requests that the viewer's server answers and refuses."""

import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from threading import Thread

import pytest

from lightning_liver.errors import LiverError
from lightning_liver.report.viewer.server import Answer, loopback_server, whole


def refuse() -> Answer:
    raise LiverError("this mask is damaged")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    routes = {
        "/": lambda: whole("text/html; charset=utf-8", b"<p>hello"),
        "/parts": lambda: Answer("application/octet-stream", iter([b"ab", b"", b"cde"]), 5),
        "/damaged": refuse,
    }
    with loopback_server(routes, 0) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(port: int, path: str, *, method: str = "GET", host: str | None = None) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{port}")
    connection.endheaders()
    answer = connection.getresponse()
    return answer, answer.read()


def test_known_paths_are_answered_in_full(port: int) -> None:
    answer, body = ask(port, "/")
    assert (answer.status, body, answer.headers["Content-Type"]) == (200, b"<p>hello", "text/html; charset=utf-8")
    answer, body = ask(port, "/parts?again=1")
    assert (answer.status, body, answer.headers["Content-Length"]) == (200, b"abcde", "5")


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/%2e%2e/", "/parts/", "/PARTS", "/..", "/viewer.js"])
def test_other_paths_are_not_found(port: int, path: str) -> None:
    answer, body = ask(port, path)
    assert (answer.status, body) == (404, b"no such page")


@pytest.mark.parametrize(
    "host", ["example.org", "example.org:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.at:{port}"]
)
def test_a_foreign_host_name_is_refused(port: int, host: str) -> None:
    answer, body = ask(port, "/", host=host.format(port=port))
    assert answer.status == 403
    assert b"hello" not in body


def test_localhost_is_accepted(port: int) -> None:
    assert ask(port, "/", host=f"localhost:{port}")[0].status == 200


def test_head_has_no_body_and_other_methods_are_refused(port: int) -> None:
    answer, body = ask(port, "/", method="HEAD")
    assert (answer.status, body, answer.headers["Content-Length"]) == (200, b"", "8")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(port, "/", method=method)[0].status == 501


def test_every_answer_has_headers_that_keep_others_out(port: int) -> None:
    for path in ("/", "/nothing"):
        headers = ask(port, path)[0].headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Access-Control-Allow-Origin"] is None
        assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_a_liver_error_is_sent_as_text(port: int) -> None:
    answer, body = ask(port, "/damaged")
    assert (answer.status, body) == (409, b"this mask is damaged")


def test_server_listens_on_loopback_alone() -> None:
    with loopback_server({}, 0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_a_taken_port_is_refused_with_its_number() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LiverError, match=rf"port={port}: Address already in use.*port=0"):
            loopback_server({}, port)
