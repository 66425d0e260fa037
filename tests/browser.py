"""A page in headless Chromium, as a person would open it: what it shows, and what its console says.

Chromium is driven over two pipes with messages that end with a zero byte (--remote-debugging-pipe), so that no other
package and no port is needed.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# WebGL without a GPU; no sandbox, since tests may run as root in a container that forbids one
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-background-networking",
    "--hide-scrollbars",
)
_AS_3_AND_4 = (  # the numbers that Chromium expects, whatever they were
    "import fcntl, os, sys; a, b = (fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]); "
    "os.dup2(a, 3); os.dup2(b, 4); os.execv(sys.argv[3], sys.argv[3:])"
)
_PATIENCE_S = 90


class Page:
    """A Chromium with one tab at a time; `said` holds what its console, its errors and its failed requests said."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = send, receive
        self._buffer, self._count, self._session, self._target = b"", 0, "", ""
        self.said: list[str] = []
        self.requested: list[str] = []

    def renew(self) -> None:
        """Close the tab, take another one and forget what was said."""
        self._session, closed = "", self._target
        self._target = self.call("Target.createTarget", url="about:blank")["targetId"]
        if closed:
            self.call("Target.closeTarget", targetId=closed)
        self._session = self.call("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.said, self.requested = [], []

    def open(self, url: str, *, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Go to an address and wait until it is loaded; a narrow page is a phone's."""
        phone = width < 500
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call("Page.navigate", url=url)
        self.wait(f"document.readyState === 'complete' && location.href.startsWith({json.dumps(url)})")

    def value(self, expression: str) -> Any:
        """What JavaScript makes of an expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + _PATIENCE_S
        while not self.value(expression):
            assert time.monotonic() < end, f"not within {_PATIENCE_S} s: {expression}; the page said {self.said}"
            time.sleep(0.1)

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        """Write what is seen, or the whole length of the page, as PNG."""
        options: dict[str, Any] = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            options = {"clip": clip, "captureBeyondViewport": True}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", **options)["data"]))
        return path

    def call(self, method: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol and its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while (answer := self._message()).get("id") != self._count:
            self._note(answer)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def _message(self) -> Any:
        while b"\0" not in self._buffer:
            part = os.read(self._receive, 2**20)
            assert part, "Chromium ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("sessionId") != self._session:
            return
        method, told = event.get("method"), event.get("params", {})
        if method == "Runtime.consoleAPICalled":
            self.said.append(f"{told['type']}: {[each.get('value', each.get('description')) for each in told['args']]}")
        elif method == "Runtime.exceptionThrown":
            self.said.append(str(told["exceptionDetails"].get("exception", told)))
        elif method == "Log.entryAdded":
            self.said.append(f"{told['entry']['level']}: {told['entry']['text']} {told['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requested.append(told["request"]["url"])


@contextmanager
def chromium() -> Iterator[Page]:
    """A Chromium of our own; without any the test is skipped."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip(f"no browser to open the page in: none of {', '.join(_NAMES)} is installed")
    from_us, to_us = os.pipe(), os.pipe()
    ends = (from_us[0], to_us[1])
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [sys.executable, "-c", _AS_3_AND_4, *map(str, ends), program, *_OPTIONS, f"--user-data-dir={profile}"],
            pass_fds=ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_us[0])
        os.close(to_us[1])
        try:
            yield Page(from_us[1], to_us[0])
        finally:
            process.terminate()
            process.wait(timeout=20)
            os.close(from_us[1])
            os.close(to_us[0])
