"""A page as a headless Chromium shows it: asked by the browser's own debugging protocol, at any width."""

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 120.0
"""Seconds for a browser to start, and for an answer."""


class Page:
    """One page under the eyes of a person with a window of some width."""

    def __init__(self, socket: websocket.WebSocket) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    def open(self, file: Path, *, width: int) -> None:
        """Show `file` in a window of `width` CSS pixels."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self._ask("Emulation.setDeviceMetricsOverride", **metrics)
        self._ask("Page.navigate", url=file.absolute().as_uri())
        self._until(f"document.readyState === 'complete' && location.href === {file.absolute().as_uri()!r}")

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives, as JSON."""
        said = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"]
        return said.get("value")

    def shot(self, *, width: int, height: int) -> bytes:
        """The page's first `height` pixels as PNG, whatever the window shows."""
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        return base64.b64decode(
            self._ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
        )

    def _until(self, condition: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.value(condition):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the browser never came to {condition}")
            time.sleep(0.05)

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer: dict[str, Any] = json.loads(self._socket.recv())
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])


def program() -> str | None:
    """The browser on this machine; None where there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def page_of_a_test() -> Iterator[Page]:
    """What a fixture yields from: a page, or the test is skipped, where there is no browser."""
    browser = program()
    if browser is None:
        pytest.skip("no Chromium; on Debian: apt-get install chromium")
    with page(browser) as found:
        yield found


@contextlib.contextmanager
def page(browser: str) -> Iterator[Page]:
    """A browser with one empty page, gone at the end with all that it has written."""
    with tempfile.TemporaryDirectory(prefix="headless-", ignore_cleanup_errors=True) as folder:
        # No sandbox: it needs rights that containers and root do not have; the pages are our own.
        command = [
            *(
                browser,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--no-first-run",
            ),
            *("--disable-dev-shm-usage", "--disable-background-networking", "--remote-debugging-port=0"),
            *("--remote-allow-origins=*", f"--user-data-dir={folder}", "about:blank"),
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                with contextlib.closing(_connected(Path(folder), process)) as socket:
                    yield Page(socket)
            finally:
                process.terminate()
                process.wait(30)


def _connected(folder: Path, process: subprocess.Popen[bytes]) -> websocket.WebSocket:
    """To the browser's first page."""
    told, deadline = folder / "DevToolsActivePort", time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, IndexError, StopIteration):
            port = told.read_text().splitlines()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE) as answer:
                address = next(
                    one["webSocketDebuggerUrl"] for one in json.load(answer) if one["type"] == "page"
                )
            return websocket.create_connection(address, timeout=PATIENCE)
        time.sleep(0.1)
    raise RuntimeError("the browser did not start")
