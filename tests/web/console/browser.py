"""A real Chromium that opens the console. What it finds wrong fails the test.

CHROMIUM names the browser; else the system's is taken, or the one that Playwright installed.
"""

import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MODULES = ("playwright", "axe_playwright_python")
MISSING = ", ".join(f"{name} is not installed" for name in MODULES if find_spec(name) is None)


def chromium() -> str:
    """The path of a Chromium; empty: Playwright's own, if there is one."""
    if chosen := os.environ.get("CHROMIUM"):
        return chosen
    return next((found for name in NAMES if (found := shutil.which(name))), "")


def reason_to_skip() -> str:
    """Why no browser test can run; empty: they can."""
    if MISSING or chromium():
        return MISSING
    folder = os.environ.get("PLAYWRIGHT_BROWSERS_PATH", "~/.cache/ms-playwright")
    if any(Path(folder).expanduser().glob("chromium*")):
        return ""
    return "no Chromium was found; install one, or name it in CHROMIUM"


needs_browser = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip())


class Browsing:
    """One page of a browser, and what it reported."""

    def __init__(self, page: Any, url: str, token: str) -> None:
        self.page = page
        self.url = url
        self.token = token
        #: Errors of the console, exceptions, and requests to elsewhere.
        self.faults: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        page.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text} {message.location}")

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.url, "blob:", "data:")):
            self.faults.append(f"request to {request.url}")
        if self.token in request.url:
            self.faults.append("the token is in an address")

    def forgive(self, text: str) -> None:
        """What a test provokes: one fault, which has to be there."""
        known = [fault for fault in self.faults if text in fault]
        assert known, f"{text!r} was not reported: {self.faults}"
        self.faults.remove(known[0])

    async def open(self, view: str = "") -> None:
        """Open a view, signed in. `view`: what follows `#/`."""
        await self.page.goto(f"{self.url}/#token={self.token}")
        await self.page.get_by_role("heading", level=1).wait_for()
        if view:
            await self.page.goto(f"{self.url}/#/{view}")

    def role(self, role: str, name: str | None = None, **more: Any) -> Any:
        """Elements by what assistive technology calls them."""
        return self.page.get_by_role(role, name=name, **more)

    async def until(self, condition: str) -> None:
        """Wait for an expression to be true: the page's policy forbids `wait_for_function`."""
        look = f"const look = () => {condition} ? done() : setTimeout(look, 20); look();"
        await self.page.evaluate(f"new Promise((done) => {{ {look} }})")

    async def check_access(self) -> None:
        """No rule of axe's is broken, and nothing is wider than the screen."""
        devtools = await self.page.context.new_cdp_session(self.page)
        answer = await devtools.send(
            "Runtime.evaluate",
            {"expression": f"{_axe()}\n; axe.run(document)", "awaitPromise": True,
             "returnByValue": True, "allowUnsafeEvalBlockedByCSP": True},
        )  # fmt: skip
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        results = answer["result"]["value"]
        broken = [
            (rule["id"], [node["html"][:200] for node in rule["nodes"][:3]])
            for rule in results["violations"]
        ]
        assert not broken, broken
        widths = "[document.documentElement.scrollWidth, innerWidth]"
        scroll_width, inner_width = await self.page.evaluate(widths)
        assert scroll_width <= inner_width


@cache
def _axe() -> str:
    spec = find_spec("axe_playwright_python")
    assert spec is not None and spec.origin is not None
    (script,) = Path(spec.origin).parent.rglob("axe.min.js")
    return script.read_text(encoding="utf-8")


@asynccontextmanager
async def browsing(
    url: str, token: str, args: Sequence[str] = (), **options: Any
) -> AsyncIterator[Browsing]:
    """A page of a fresh browser. `args`: of its command line. `options`: of the browser's context,
    such as `color_scheme`."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium() or None,
            args=["--no-sandbox", "--disable-dev-shm-usage", *args],
        )
        try:
            context = await browser.new_context(**options)
            browsing = Browsing(await context.new_page(), url, token)
            yield browsing
            assert browsing.faults == [], browsing.faults
        finally:
            await browser.close()
