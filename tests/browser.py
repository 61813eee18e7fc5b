"""A headless Chromium for tests, which pages are opened in and JavaScript is evaluated in.

It speaks Chromium's DevTools protocol over two pipes, so that keys can be typed as a person would.
"""

from __future__ import annotations

import fcntl
import html
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WAIT_S = 20
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--remote-debugging-pipe",  # file descriptors 3 (to the browser) and 4 (from it)
)


class Browser:
    """A browser with one tab.

    Parameters
    ----------
    sent, heard
        File descriptors to write messages to, and to read messages from.
    """

    def __init__(self, sent: int, heard: int) -> None:
        self._sent, self._heard = os.fdopen(sent, "wb", 0), os.fdopen(heard, "rb", 0)
        self._numbers, self._buffer, self._session = itertools.count(1), b"", ""
        self.requested: list[str] = []  # addresses that the tab asked for since `open`
        self.answered: list[tuple[str, int]] = []  # and those of the answers, with their status
        self.complaints: list[str] = []  # errors of the tab: of scripts, policies and requests
        self._tab()

    def _tab(self) -> None:
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self._ask(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Open an address in a new tab, which has a session storage of its own."""
        self._session, self.requested, self.answered, self.complaints = "", [], [], []
        self._tab()
        found = self._ask("Page.navigate", url=url)
        assert "errorText" not in found, found
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, script: str) -> Any:
        """Evaluate JavaScript in the page; the value of a promise once it is there."""
        found = self._evaluate(script)
        assert found is not None, "the page was left before the answer"
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def _evaluate(self, script: str) -> dict[str, Any] | None:
        """Evaluate JavaScript; None if the tab went to another page meanwhile."""
        options = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        return self._ask("Runtime.evaluate", None, expression=script, **options)

    def wait_for(self, condition: str) -> None:
        """Wait until a condition in JavaScript holds, on the page to which the tab goes."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            found = self._evaluate(f"!!({condition})")
            if found and found["result"].get("value"):
                return
            time.sleep(0.02)
        raise AssertionError(f"Not within {WAIT_S} s: {condition}\n{self.html()}")

    def text(self, element: str) -> str:
        """Read the text of the element with an id."""
        return str(self.evaluate(f"document.getElementById({json.dumps(element)}).textContent"))

    def html(self) -> str:
        """Read the page as it is shown."""
        return html.unescape(self.evaluate("document.documentElement.outerHTML"))

    def type_into(self, selector: str, text: str) -> None:
        """Type a text as a keyboard would."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        self._ask("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def press(self, key: str) -> None:
        """Press a key, such as Tab."""
        code = {"Tab": 9, "Enter": 13}[key]
        about = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        text = {"text": "\r"} if key == "Enter" else {}
        self._ask("Input.dispatchKeyEvent", type="keyDown", **about, **text)
        self._ask("Input.dispatchKeyEvent", type="keyUp", **about)

    def resize(self, width: int, height: int = 900) -> None:
        """Give the window another size, in pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", **size)

    def print_media(self, on: bool) -> None:
        """Look at the page as it is printed, or as it is shown."""
        self._ask("Emulation.setEmulatedMedia", media="print" if on else "")

    def screenshot(self, file: Path, dark: bool = False, width: int = 1100) -> None:
        """Keep a picture of the whole page, for people to look at."""
        import base64

        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", **size)
        shot = self._ask("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def _ask(self, method: str, *instead: None, **given: Any) -> Any:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": given}
        if self._session:
            message["sessionId"] = self._session
        self._sent.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("method") == "Network.requestWillBeSent":
                self.requested.append(answer["params"]["request"]["url"])
            if answer.get("method") == "Network.responseReceived":
                found = answer["params"]["response"]
                self.answered.append((found["url"], found["status"]))
            if answer.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(str(answer["params"]["exceptionDetails"]))
            if answer.get("method") == "Log.entryAdded":
                entry = answer["params"]["entry"]
                if entry["level"] == "error":
                    self.complaints.append(entry["text"])
            if answer.get("id") == number:
                if instead and "error" in answer:
                    return None
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = self._heard.read(1 << 16)
            assert part, "the browser has ended"
            self._buffer += part
        one, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(one)
        return message


@contextmanager
def chromium(profile: Path, *flags: str) -> Iterator[Browser]:
    """A started browser; its test is skipped where there is none."""
    program = shutil.which("chromium")
    if program is None:
        assert not os.environ.get("CI"), "Chromium must be there when CI is set"
        pytest.skip("chromium is not installed")
    (theirs_in, ours_out), (ours_in, theirs_out) = _pipe(), _pipe()
    # Python has no safe way to give the two pipes their numbers; the shell of Debian takes one
    # digit only.
    shell = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
    command = ["bash", "-c", shell, program, *FLAGS, f"--user-data-dir={profile}", *flags]
    process = subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL)
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(ours_out, ours_in)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _pipe() -> tuple[int, int]:
    """Make a pipe whose file descriptors are none of those that the browser wants."""
    made = os.pipe()
    read, write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in made)
    for end in made:
        os.close(end)
    return read, write
