"""Drives Chromium by its DevTools protocol, through the pipe that --remote-debugging-pipe opens; no package needed."""

import base64
import io
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image", reason="Pillow, which reads pictures of pages, is not there")

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="no Chromium to open pages in")
ANSWER_SECONDS = 90

# The protocol's ends are descriptors 3 and 4, which may be taken here.
LAUNCHER = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for number, end in zip((3, 4), ends):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One window without a screen, drawn by the CPU. As a context: it ends with it."""

    def __init__(self):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_browser, self.write_end = os.pipe()
        self.read_end, from_browser = os.pipe()
        arguments = [
            CHROMIUM, "--headless=new", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox",
            "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions", "--disable-background-networking",
            "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={self.profile.name}", "about:blank"]
        launcher = [sys.executable, "-c", LAUNCHER, str(to_browser), str(from_browser), *arguments]
        self.process = subprocess.Popen(launcher, pass_fds=[to_browser, from_browser], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.unread, self.number, self.session, self.errors, self.requests = b"", 0, None, [], []

    def __enter__(self):
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ["Page", "Runtime", "Network"]:
                self.call(domain + ".enable")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.read_end)
        os.close(self.write_end)
        self.profile.cleanup()

    def call(self, method, **parameters):
        """The result of a method; events that come meanwhile are looked at for errors and requests."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self.number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _read(self):
        deadline = time.monotonic() + ANSWER_SECONDS
        while b"\0" not in self.unread:
            ready = select.select([self.read_end], [], [], max(0, deadline - time.monotonic()))[0]
            assert ready, "Chromium does not answer"
            some = os.read(self.read_end, 1 << 20)
            assert some, "Chromium has ended"
            self.unread += some
        line, self.unread = self.unread.split(b"\0", 1)
        answer = json.loads(line)
        if answer.get("method") == "Runtime.exceptionThrown":
            self.errors.append(answer["params"]["exceptionDetails"])
        if answer.get("method") == "Runtime.consoleAPICalled" and answer["params"]["type"] in ("error", "warning"):
            self.errors.append(answer["params"]["args"])
        if answer.get("method") == "Network.requestWillBeSent":
            self.requests.append(answer["params"]["request"]["url"])
        return answer

    def run(self, script):
        """The value of a JavaScript expression; of a promise, what it becomes."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def open(self, path, width=1280, height=800, phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1,
                  mobile=phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.run("new Promise(done => document.readyState === 'complete' ? done() : window.addEventListener('load', done))")
        self.drawn()

    def drawn(self):
        """After what was asked for has been drawn: frames of the page's own are drawn by then."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done))))")

    def click(self, selector):
        x, y, under = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'nearest'}});"
            "const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;"
            "const hit = document.elementFromPoint(x, y); return [x, y, e === hit || e.contains(hit)]; })()")
        assert under, f"{selector} lies under something else"
        for kind in ["mousePressed", "mouseReleased"]:
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.drawn()

    def drag(self, start, end, button="left"):
        buttons = {"left": 1, "right": 2}[button]
        for kind, (x, y) in [("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)]:
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=buttons, clickCount=1)
        self.drawn()

    def touch(self, *steps):
        """Fingers at the places of each step, one after the other, then none."""
        for i, places in enumerate(steps):
            self.call("Input.dispatchTouchEvent", type="touchMove" if i else "touchStart",
                      touchPoints=[{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(places)])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.drawn()

    def picture(self, keep=None):
        """What is seen, uint8 [height, width, 3]."""
        png = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if keep:
            keep.write_bytes(png)
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
