"""A headless Chromium, spoken to by its DevTools protocol over a pipe; it reaches no host."""

import fcntl
import json
import os
import select
import subprocess
import time

#: A busy machine is no finding.
PATIENCE = 180


class Browser:
    """One browser with one tab. `events`: all that it told by itself."""

    def __init__(self, folder):
        requests, self._ask = os.pipe()
        self._answer, answers = os.pipe()

        def as_3_and_4():
            ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (requests, answers)]
            for number, end in enumerate(ends, 3):
                os.dup2(end, number)

        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        options += ["--host-resolver-rules=MAP * ~NOTFOUND", "--disable-dev-shm-usage"]
        options += ["--remote-debugging-pipe", f"--user-data-dir={folder}"]
        self._process = subprocess.Popen(
            ["chromium", *options],
            close_fds=False,
            preexec_fn=as_3_and_4,
            env={**os.environ, "HOME": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(requests)
        os.close(answers)
        self._read = b""
        self._asked = 0
        self._session = None
        self.events = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method, **parameters):
        """What the browser answers to a command of the protocol."""
        self._asked += 1
        message = {"id": self._asked, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._ask, json.dumps(message).encode() + b"\0")
        while (told := self._next()).get("id") != self._asked:
            self.events.append(told)
        assert "error" not in told, (method, told["error"])
        return told["result"]

    def open(self, path):
        """Show a file, until it is loaded; forget what was told before."""
        self.events.clear()
        self.ask("Page.navigate", url=path.as_uri())
        self.wait("Page.loadEventFired")

    def wait(self, method):
        """Wait until it tells that by itself."""
        while not any(one.get("method") == method for one in self.events):
            self.events.append(self._next())

    def run(self, script):
        """The value of an expression in the page."""
        told = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def size(self, width):
        """Show it on a screen of that width."""
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1}
        self.ask("Emulation.setDeviceMetricsOverride", mobile=width < 700, **metrics)

    def media(self, scheme="light", media=""):
        """Show it in the `dark` or `light`, and as for `print`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", media=media, features=features)

    def close(self):
        """End it."""
        os.close(self._ask)  # by which it ends itself
        os.close(self._answer)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _next(self):
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._answer], [], [], max(0, end - time.monotonic()))
            assert ready, "the browser gives no answer"
            read = os.read(self._answer, 1 << 20)
            assert read, "the browser has ended"
            self._read += read
        message, _, self._read = self._read.partition(b"\0")
        return json.loads(message)
