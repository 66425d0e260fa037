"""A proxy on loopback through which a server answers with a limited number of bytes per second."""

import socket
import threading
import time
from types import TracebackType

_PIECE = 2**14


class ThrottledProxy:
    """Proxy of a TCP server on loopback, as a context manager; all its connections share one rate.

    Args:
        port: of the server.
        bytes_per_s: that come back from it.

    Attributes:
        port: of the proxy.
        sent: bytes that came back so far.
    """

    def __init__(self, port: int, bytes_per_s: float) -> None:
        self._server, self._rate, self.sent = port, bytes_per_s, 0
        self._lock, self._free_at = threading.Lock(), 0.0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]

    def __enter__(self) -> "ThrottledProxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:  # closed
                return
            server = socket.create_connection(("127.0.0.1", self._server))
            threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, throttled: bool) -> None:
        try:
            while piece := source.recv(_PIECE):
                if throttled:
                    self._wait_for(len(piece))
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            source.close()
            target.close()

    def _wait_for(self, count: int) -> None:
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / self._rate
            self.sent += count
            until = self._free_at
        time.sleep(max(until - now, 0))
