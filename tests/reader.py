"""A headless browser for tests of the report: what it showed, and the troubles it met."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Any]:
    """A running Chromium; the test is skipped where there is none."""
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs Chromium on the PATH: scripts/find_chromium.sh")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


class Reader:
    """A page that remembers what a reader must never see: errors, and requests to anywhere but its own folder."""

    def __init__(self, page: Any, folder: Path) -> None:
        self.page = page
        self.troubles: list[str] = []
        page.on("console", lambda m: self._note(m.type in ("error", "warning"), m.text))
        page.on("pageerror", lambda error: self._note(True, str(error)))
        page.on("request", lambda r: self._note(not r.url.startswith((folder.as_uri(), "data:", "blob:")), r.url))
        page.goto((folder / "index.html").as_uri())
        page.wait_for_selector("html[data-ready]")

    def _note(self, is_trouble: bool, text: str) -> None:
        if is_trouble:
            self.troubles.append(text)

    def go(self, address: str, wait: str) -> None:
        self.page.evaluate("address => { location.hash = address }", address)
        self.page.wait_for_selector(wait)

    def tile(self, view: str, label: str) -> str:
        tile = self.page.locator(f"#view-{view} .tile", has_text=label).first
        return str(tile.locator("b").inner_text())

    def cells(self, caption: str, column: int) -> list[str]:
        table = self.page.locator("table:visible", has=self.page.locator("caption", has_text=caption)).first
        return [str(text) for text in table.locator(f"tbody tr > :nth-child({column})").all_inner_texts()]
