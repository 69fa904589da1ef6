"""A Chromium without a window, led through its debugging pipe: one page, scripts in it, keys, the pointer, pictures.

The Chrome DevTools Protocol: JSON messages that end in a zero byte, through file descriptors 3 and 4 of the process.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ("--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage")
FLAGS += ("--disable-background-networking", "--disable-extensions", "--mute-audio", "--hide-scrollbars")
SECONDS = 120
START = "import os, sys; [os.dup2(int(sys.argv[n]), n + 2) for n in (1, 2)]; os.execv(sys.argv[3], sys.argv[3:])"
"Python that becomes the browser, with its pipes where it looks for them; a shell has numbers of one digit only."
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "Home": 36, "End": 35, "Tab": 9, "Escape": 27, "Enter": 13, " ": 32}
TEXTS = {"Enter": {"text": "\r"}, " ": {"text": " "}}
CONTROL = 2
MIDDLE = """(() => { const one = document.querySelector(%s); one.scrollIntoView({block: 'nearest'});
const box = one.getClientRects()[0]; return [box.x + box.width / 2, box.y + box.height / 2]; })()"""


def find_chromium() -> str | None:
    """Its path: what $CHROMIUM says, or one that is installed; None: there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def until(value: Callable[[], Any], what: Callable[[], str]) -> Any:
    """A value once it is true. what: is not, where it does not become so in time."""
    end = time.monotonic() + SECONDS
    while not (found := value()):
        if time.monotonic() > end:
            raise TimeoutError(f"never true: {what()}")
        time.sleep(0.02)
    return found


class Chromium:
    """One page of a browser."""

    def __init__(self, path: str) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs, self._write = os.pipe()
        self._read, answers = os.pipe()
        given = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (theirs, answers)]  # neither is 3 or 4
        sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
        command = [path, *FLAGS, *sandbox, f"--user-data-dir={self._folder.name}", "about:blank"]
        start = [sys.executable, "-ISc", START, *map(str, given), *command]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            start, pass_fds=given, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
        for one in (theirs, answers, *given):
            os.close(one)
        self._buffer, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        "What the browser told of by itself."
        [page, *_] = [one for one in self._ask("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        self._session = self._ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def close(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        os.close(self._read)
        os.close(self._write)
        self._folder.cleanup()

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") != self._number:
                self.events.append(found)
            elif "error" in found:
                raise RuntimeError(f"{method}: {found['error']['message']}")
            else:
                result: dict[str, Any] = found["result"]
                return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], SECONDS)[0]:
                raise TimeoutError(f"Chromium said nothing for {SECONDS} s")
            part = os.read(self._read, 1 << 20)
            if not part:
                raise RuntimeError("Chromium ended")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def open(self, address: str, *, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Load a page in a window of a size, in the dark or the light."""
        mobile = width < 600
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        if problem := self._ask("Page.navigate", url=address).get("errorText"):
            raise RuntimeError(f"{address}: {problem}")
        self.until("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{script}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def until(self, script: str) -> Any:
        """The value of an expression once it is true."""
        return until(
            lambda: self.run(script), lambda: f"{script}; the page reads {self.run('document.body.innerText')[:1000]!r}"
        )

    def write(self, text: str) -> None:
        """Type a text where the focus is."""
        self._ask("Input.insertText", text=text)

    def press(self, key: str, *, control: bool = False) -> None:
        """Press a key and let it go."""
        code = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key]}
        code |= {"modifiers": CONTROL if control else 0, **TEXTS.get(key, {})}
        self._ask("Input.dispatchKeyEvent", type="keyDown", **code)
        self._ask("Input.dispatchKeyEvent", type="keyUp", **code)

    def point(self, selector: str, *, click: bool = False) -> None:
        """Move the pointer to the middle of an element, and click there."""
        x, y = self.run(MIDDLE % json.dumps(selector))
        self._ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        if click:
            for kind in ("mousePressed", "mouseReleased"):
                self._ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, path: Path) -> None:
        """The whole page as a PNG."""
        data = self._ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def allow(self, *names: str) -> None:
        """Give the page permissions."""
        self._ask("Browser.grantPermissions", permissions=list(names))

    def download_to(self, folder: Path) -> None:
        """Where what is saved goes to, without a question."""
        self._ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def names(self) -> list[tuple[str, str]]:
        """Role and name of everything that assistive technology is told of."""
        nodes = self._ask("Accessibility.getFullAXTree")["nodes"]
        seen = [node for node in nodes if not node.get("ignored")]
        return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in seen]

    def requests(self) -> list[str]:
        """Addresses that the page asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[str]:
        """What stands in the browser's console: errors, refusals of the policy."""
        self.run("0")
        found = []
        for event in self.events:
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(str(event["params"]["exceptionDetails"]))
            elif event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] != "verbose":
                found.append(str(event["params"]["entry"]["text"]))
            elif event.get("method") == "Runtime.consoleAPICalled" and event["params"]["type"] in ("error", "warning"):
                found.append(str(event["params"]["args"]))
        return found
