"""Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Playwright


class Chromium:
    """One window of Chromium. `close` ends it."""

    def __init__(self, playwright: Playwright, program: str):
        self.browser = playwright.chromium.launch(executable_path=program)
        self.page = self.browser.new_page()
        self.written: list[str] = []
        self.page.on("console", lambda message: self.written.append(message.text))
        self.page.on("pageerror", lambda error: self.written.append(str(error)))
        self.page.on("request", lambda request: self.written.append(f"asks for {request.url}"))

    def open(self, path: Path) -> None:
        """Show a page from disk."""
        self.written.clear()
        self.page.goto(path.as_uri())
        self.written.remove(f"asks for {path.as_uri()}")

    def run(self, script: str):
        """Return what the body of a function returns on the page."""
        return self.page.evaluate(f"() => {{ {script} }}")

    def click(self, x: float, y: float) -> None:
        """Press the mouse at a place of the window."""
        self.page.mouse.click(x, y)

    def press(self, key: str) -> None:
        """Press a key."""
        self.page.keyboard.press(key)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the window."""
        self.page.set_viewport_size({"width": width, "height": height})

    def screenshot(self, path: Path) -> None:
        """Keep a picture of the whole page."""
        self.page.screenshot(path=path, full_page=True)

    def messages(self) -> list[str]:
        """Return what the page wrote to the console, and what it asked for from elsewhere."""
        return [line for line in self.written if not line.startswith(("asks for blob:", "asks for data:"))]

    def close(self) -> None:
        """End Chromium."""
        self.browser.close()
