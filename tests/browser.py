"""A headless Chromium without a network, driven over DevTools: one process opens many pages from files."""

import json
import os
import shutil
import subprocess

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the path: install one")
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--disable-background-networking")
OPTIONS += ("--host-resolver-rules=MAP * ~NOTFOUND", "--autoplay-policy=no-user-gesture-required")
OPTIONS += ("--force-prefers-reduced-motion",)  # a smooth scroll would still be under way when a finger comes down


class Browser:
    """``faults`` are what the console says of errors and what a page asks of the network since it was opened."""

    def __init__(self, profile):
        (theirs, self._to), (self._from, ours) = os.pipe(), os.pipe()
        script = f'exec "$0" "$@" 3<&{theirs} 4>&{ours}'
        command = ["bash", "-c", script, BROWSER, *OPTIONS, f"--user-data-dir={profile}"]
        self.process = subprocess.Popen(command, pass_fds=(theirs, ours), stderr=subprocess.DEVNULL)
        os.close(theirs)
        os.close(ours)
        self._session, self._count, self._read = {}, 0, b""
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method, **params):
        """The result of a command of the DevTools protocol."""
        self._count += 1
        command = {"id": self._count, "method": method, "params": params} | self._session
        os.write(self._to, json.dumps(command).encode() + b"\0")
        while (message := self._next()).get("id") != self._count:
            pass
        assert "error" not in message, message
        return message["result"]

    def _next(self):
        while b"\0" not in self._read:
            self._read += os.read(self._from, 1 << 20) or pytest.fail("the browser has gone")
        text, _, self._read = self._read.partition(b"\0")
        about, of = (message := json.loads(text)).get("params", {}), message.get("method")
        said = {"Runtime.consoleAPICalled": about.get("type"), "Log.entryAdded": about.get("entry", {}).get("level")}
        asked = of == "Network.requestWillBeSent" and about["request"]["url"][:5] not in ("file:", "data:", "blob:")
        if asked or of == "Runtime.exceptionThrown" or said.get(of) == "error":
            self.faults.append(text.decode()[:800])
        return message

    def open(self, page, query="", width=1280):
        self.wide(width)
        self.faults = []
        assert "errorText" not in self("Page.navigate", url=page.as_uri() + query), f"{page} is not there"
        while self._next().get("method") != "Page.loadEventFired":
            pass
        self.run("globalThis.MathJax?.startup?.promise?.then(() => 0)")  # formulas move what is below them

    def wide(self, width):
        self("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)

    def run(self, script):
        """What an expression of JavaScript is, in the end, on the page."""
        said = self("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def until(self, condition):
        """Whether a condition holds on the page within ten seconds."""
        return self.run(f"""new Promise((done) => {{ const end = performance.now() + 1e4, look = () => {condition} ?
          done(true) : performance.now() > end ? done(false) : setTimeout(look, 20); look(); }})""")

    def press(self, selector, key, code):
        self.run(f"document.querySelector('{selector}').focus()")
        self("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, text="\r" * (code == 13))
        self("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def drag(self, selector):
        """A finger goes across something, from a third of its width to two thirds."""
        self("Emulation.setTouchEmulationEnabled", enabled=True)
        there = "scrollIntoView({ block: 'center', behavior: 'instant' })"
        lifted = "addEventListener('pointerup', () => (lifted = true), { once: true, capture: true })"
        self.run(f"{lifted}; lifted = false; (box = document.querySelector('{selector}')).{there}")
        x, wide, y, high = self.run("(({ x, width, y, height }) => [x, width, y, height])(box.getBoundingClientRect())")
        for kind, at in (("touchStart", 0.33), ("touchMove", 0.5), ("touchMove", 0.67), ("touchEnd", None)):
            points = [{"x": x + at * wide, "y": y + high / 2}] if at else []
            self("Input.dispatchTouchEvent", type=kind, touchPoints=points)
        assert self.until("lifted"), "the page took the finger's way for something else"
