"""A web server for one user on this machine: known paths only, on loopback, with headers that keep others out."""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from lightning_liver.errors import LiverError

LOOPBACK = "127.0.0.1"
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # NiiVue unpacks volumes in WebAssembly and workers, and has its font in data: addresses
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "connect-src 'self' data: blob:; img-src 'self' data: blob:; worker-src blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
}


class Answer(NamedTuple):
    """A response: its type, its bytes in parts, and their number."""

    content_type: str
    parts: Iterable[bytes]
    length: int


Routes = Mapping[str, Callable[[], Answer]]


def whole(content_type: str, content: bytes) -> Answer:
    """Return an answer from memory."""
    return Answer(content_type, [content], len(content))


def loopback_server(routes: Routes, port: int) -> ThreadingHTTPServer:
    """Return a server that listens on this machine alone; its server_port is the port in use.

    Args:
        routes: makes the answer of each path; a LiverError is sent as its text.
        port: 0 takes a free one.

    Raises:
        LiverError: the port is taken, forbidden or invalid.
    """
    try:
        server = ThreadingHTTPServer((LOOPBACK, port), _Handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LiverError(f"port={port}: {reason}; give another one, or port=0 for any free one") from error
    server.daemon_threads = True
    server.routes = routes  # type: ignore[attr-defined]
    return server


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "liver-view", ""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        server: Any = self.server
        # DNS rebinding: a foreign page whose name points here sends its own name
        if self.headers.get("Host") not in {f"{name}:{server.server_port}" for name in (LOOPBACK, "localhost")}:
            return self._send(HTTPStatus.FORBIDDEN, _text("open the address that liver-view printed"), with_body)
        make = server.routes.get(self.path.partition("?")[0])
        if make is None:
            return self._send(HTTPStatus.NOT_FOUND, _text("no such page"), with_body)
        try:
            answer = make()
        except LiverError as error:
            return self._send(HTTPStatus.CONFLICT, _text(str(error)), with_body)
        return self._send(HTTPStatus.OK, answer, with_body)

    def _send(self, status: HTTPStatus, answer: Answer, with_body: bool) -> None:
        try:
            self.send_response(status)
            headers = _HEADERS | {"Content-Type": answer.content_type, "Content-Length": str(answer.length)}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            for part in answer.parts if with_body else ():
                self.wfile.write(part)
        except ConnectionError:  # the page was closed or shows another case
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


def _text(message: str) -> Answer:
    return whole("text/plain; charset=utf-8", message.encode())
