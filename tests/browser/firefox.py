"""Debian's Firefox, driven by Marionette, the protocol that is built into it; Playwright drives its own only.

https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html
"""

import base64
import json
import socket
import subprocess
import time
from pathlib import Path

#: seconds in which Firefox has started
PATIENCE = 60
_KEYS = {"ArrowLeft": "\ue012", "ArrowRight": "\ue014", "ArrowUp": "\ue013", "Space": " "}
_MESSAGES = """return Services.console.getMessageArray()
    .filter(message => message instanceof Ci.nsIScriptError && /^(file|blob|data):/.test(message.sourceName))
    .map(message => message.errorMessage)"""


class Firefox:
    """One window of Firefox. `close` ends it.

    `profile` is a folder to be made, `environment` that of its process.
    """

    def __init__(self, program: str, profile: Path, environment: dict[str, str]):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        profile.mkdir()
        (profile / "user.js").write_text(f'user_pref("marionette.port", {port});\n')
        command = [program, "--headless", "--marionette", "--remote-allow-system-access", "--no-remote"]
        with (profile / "log").open("w") as log:
            command += ["--profile", str(profile)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        self.number = 0
        try:
            self.stream = self._connect(port).makefile("rwb")
            self._receive()
            self._send("WebDriver:NewSession")
        except BaseException:
            self.process.kill()
            raise

    def open(self, path: Path) -> None:
        """Show a page from disk."""
        self._system("Services.console.reset()")
        self._send("WebDriver:Navigate", url=path.as_uri())

    def run(self, script: str):
        """Return what the body of a function returns on the page."""
        return self._send("WebDriver:ExecuteScript", script=script, args=[])["value"]

    def click(self, x: float, y: float) -> None:
        """Press the mouse at a place of the window."""
        actions = [{"type": "pointerMove", "x": x, "y": y, "duration": 0}]
        actions += [{"type": name, "button": 0} for name in ("pointerDown", "pointerUp")]
        self._act({"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}}, actions)

    def press(self, key: str) -> None:
        """Press a key."""
        actions = [{"type": name, "value": _KEYS.get(key, key)} for name in ("keyDown", "keyUp")]
        self._act({"type": "key", "id": "keys"}, actions)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the window."""
        self._send("WebDriver:SetWindowRect", width=width, height=height)

    def screenshot(self, path: Path) -> None:
        """Keep a picture of the whole page."""
        path.write_bytes(base64.b64decode(self._send("WebDriver:TakeScreenshot", full=True)["value"]))

    def messages(self) -> list[str]:
        """Return what the page wrote to the console: errors, warnings, what the policy refused."""
        return self._system(_MESSAGES)

    def close(self) -> None:
        """End Firefox."""
        self._send("Marionette:Quit", flags=["eForceQuit"])
        self.process.wait(PATIENCE)

    def _connect(self, port: int) -> socket.socket:
        for _ in range(10 * PATIENCE):
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            except ConnectionRefusedError:
                time.sleep(0.1)
        raise TimeoutError(f"Firefox did not open port {port} within {PATIENCE} s")

    def _system(self, script: str):
        """Return what a script returns that may reach all of Firefox."""
        self._send("Marionette:SetContext", value="chrome")
        found = self.run(script)
        self._send("Marionette:SetContext", value="content")
        return found

    def _act(self, source: dict, actions: list[dict]) -> None:
        self._send("WebDriver:PerformActions", actions=[source | {"actions": actions}])

    def _send(self, command: str, **parameters: object) -> dict:
        self.number += 1
        message = json.dumps([0, self.number, command, parameters]).encode()
        self.stream.write(b"%d:%b" % (len(message), message))
        self.stream.flush()
        _, _, error, result = self._receive()
        if error:
            raise RuntimeError(f"{command}: {error['error']}: {error['message']}")
        return result

    def _receive(self):
        length = b""
        while (byte := self.stream.read(1)) != b":":
            if not byte:
                raise ConnectionError("Firefox ended")
            length += byte
        return json.loads(self.stream.read(int(length)))
