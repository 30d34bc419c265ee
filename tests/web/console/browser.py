"""A real Chromium that opens the console. What it finds wrong fails the test.

CHROMIUM names the browser; else the system's is taken, or the one that Playwright installed.
"""

import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
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


#: What the tests of a module need that share one browser: it belongs to one event loop.
IN_BROWSER = [
    pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip()),
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(120),
]

#: How people see the page: theme, width, and the colours that their system forces.
LOOKS: tuple[dict[str, Any], ...] = (
    {"color_scheme": "dark", "width": 1280},
    {"color_scheme": "light", "width": 320},
    {"color_scheme": "dark", "width": 320, "forced_colors": "active"},
    {"color_scheme": "light", "width": 320, "forced_colors": "active", "reduced_motion": "reduce"},
)


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

    async def see(self, look: dict[str, Any]) -> None:
        """See the page like this; one of `LOOKS`."""
        media = {name: value for name, value in look.items() if name != "width"}
        unset = {"forced_colors": "none", "reduced_motion": "no-preference"}
        await self.page.emulate_media(**{**unset, **media})
        await self.page.set_viewport_size({"width": look["width"], "height": 720})

    async def check_looks(self) -> None:
        """The view is accessible in all looks."""
        for look in LOOKS:
            await self.see(look)
            await self.check_access(str(look))

    async def check_access(self, look: str = "") -> None:
        """No rule of axe's is broken, and nothing is wider than the screen."""
        if await self._evaluate("typeof axe") == "undefined":  # once a page
            await self._evaluate(f"{_axe()}\n; 0")
        broken = await self._evaluate(_AXE_RUN)
        assert not broken, (look, broken)
        widths = "[document.documentElement.scrollWidth, innerWidth]"
        scroll_width, inner_width = await self.page.evaluate(widths)
        assert scroll_width <= inner_width, look

    async def _evaluate(self, expression: str) -> Any:
        """The value of an expression that the page's policy forbids, such as one of `eval`."""
        devtools = await self.page.context.new_cdp_session(self.page)
        answer = await devtools.send(
            "Runtime.evaluate",
            {"expression": expression, "awaitPromise": True, "returnByValue": True,
             "allowUnsafeEvalBlockedByCSP": True},
        )  # fmt: skip
        await devtools.detach()
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"]["value"]


_AXE_RUN = """
axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => violations.map(
  ({id, nodes}) => [id, nodes.slice(0, 3).map(({html}) => html.slice(0, 200))]))
"""


@cache
def _axe() -> str:
    spec = find_spec("axe_playwright_python")
    assert spec is not None and spec.origin is not None
    (script,) = Path(spec.origin).parent.rglob("axe.min.js")
    return script.read_text(encoding="utf-8")


class SharedBrowser:
    """One browser for all tests of a process. The first test that needs it starts it."""

    def __init__(self) -> None:
        self._open = AsyncExitStack()
        self._browser: Any = None

    async def browser(self) -> Any:
        if self._browser is None or not self._browser.is_connected():
            self._browser = await self._open.enter_async_context(launched())
        return self._browser

    async def close(self) -> None:
        await self._open.aclose()


#: Set while tests run that share a browser.
shared: list[SharedBrowser] = []


@asynccontextmanager
async def launched(args: Sequence[str] = ()) -> AsyncIterator[Any]:
    """A fresh browser. `args`: of its command line."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium() or None,
            args=["--no-sandbox", "--disable-dev-shm-usage", *args],
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def browsing(
    url: str, token: str, args: Sequence[str] = (), **options: Any
) -> AsyncIterator[Browsing]:
    """A page of a browser: of the shared one, or of a fresh one if it needs `args`. `options`: of
    the browser's context, such as `color_scheme`. Nothing is kept from one context to the next."""
    async with AsyncExitStack() as ending:
        if shared and not args:
            browser = await shared[0].browser()
        else:
            browser = await ending.enter_async_context(launched(args))
        context = await browser.new_context(**options)
        ending.push_async_callback(context.close)
        browsing = Browsing(await context.new_page(), url, token)
        yield browsing
        assert browsing.faults == [], browsing.faults
