"""The console's files as a server sends them."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from app.web import problems
from app.web.console import pages
from app.web.gate import Gate
from app.wires.twilio.signature import SignatureChecker
from tests.web.asgi import Proxy, running_application
from tests.web.stand_in_state import install_state

MOST_BYTES = 50_000  # at the first view
MOST_BYTES_OF_ALL = 60_000
VENDOR = pages.FOLDER / "vendor"
OWN = [path for path in sorted(pages.FOLDER.iterdir()) if path.suffix in (".js", ".css", ".html")]


def behind(prefix: str) -> FastAPI:
    """An application whose PUBLIC_URL has this path."""
    app = FastAPI()
    problems.install(app)
    app.include_router(pages.router)
    checker = SignatureChecker("", f"https://bridge.example.com{prefix}")
    gate = Gate(checker, api_token="", signed=False, stream_signature="require", rest_url="")
    install_state(app, gate=gate)
    return app


@pytest.fixture
async def browser() -> AsyncIterator[AsyncClient]:
    async with AsyncClient(transport=ASGITransport(behind("")), base_url="http://bridge") as client:
        yield client


async def test_every_file_has_the_headers_that_shut_others_out(browser: AsyncClient) -> None:
    for path in ("/", *(f"/console/{name}" for name in pages.files() if name != "index.html")):
        answer = await browser.get(path)
        assert answer.status_code == 200, path
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy and "*" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.content and "set-cookie" not in answer.headers


async def test_files_are_of_the_type_that_browsers_demand(browser: AsyncClient) -> None:
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    for name in pages.files():
        if name != "index.html":
            kind = (await browser.get(f"/console/{name}")).headers["Content-Type"]
            assert kind.startswith(types[Path(name).suffix]), name


async def test_a_browser_that_takes_gzip_gets_it_and_another_does_not(
    browser: AsyncClient,
) -> None:
    plain = await browser.get("/console/main.js", headers={"Accept-Encoding": "identity"})
    packed = await browser.get("/console/main.js", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip" and packed.text == plain.text


@pytest.mark.parametrize(
    "path", ["/console/none.js", "/console/", "/console/index.html", "/console/../pages.py",
             "/console/%2e%2e/pages.py", "/console/vendor/LICENSES.txt"],
)  # fmt: skip
async def test_nothing_else_is_served(browser: AsyncClient, path: str) -> None:
    assert (await browser.get(path)).status_code == 404


async def test_addresses_are_relative_to_the_prefix_of_the_service() -> None:
    app = behind("/phone/<x>")
    async with AsyncClient(transport=ASGITransport(app), base_url="http://bridge") as client:
        page = (await client.get("/")).text
    assert '<base href="/phone/&lt;x&gt;/">' in page
    assert not re.search(r'(?:src|href)="/(?!phone)', page)


async def test_the_page_is_served_below_a_prefix_that_is_left_in_place(tmp_path: Path) -> None:
    async with running_application(tmp_path) as caller:
        caller.settle(Proxy(prefix="/phone"), "https://bridge.example.com/phone")
        for path in ("/phone", "/phone/", "/phone/console/main.js"):
            assert (await caller.gets(f"https://bridge.example.com{path}")).status == 200, path
        caller.settle(Proxy(prefix="/calls", strips=True), "https://bridge.example.com/calls")
        answer = await caller.gets("https://bridge.example.com/calls/calls")
        assert answer.headers["content-type"] == "application/json"  # the API, not the page


@pytest.mark.parametrize("view", pages.VIEWS)
def test_the_page_is_light_whatever_view_it_is_opened_at(view: str) -> None:
    assert pages.first_load_bytes(view) <= MOST_BYTES


def test_all_views_together_are_light() -> None:
    assert pages.whole_load_bytes() <= MOST_BYTES_OF_ALL


def test_no_file_of_the_page_names_another_address() -> None:
    for path in OWN:
        addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", path.read_text(encoding="utf-8"))
        assert addresses == [], path.name


def test_every_module_is_used_and_what_every_view_needs_is_preloaded() -> None:
    page = (pages.FOLDER / "index.html").read_text(encoding="utf-8")
    names = {name for name in pages.files() if name.endswith(".js")}
    entries = ("main.js", "file.js", *(f"{view}.js" for view in pages.VIEWS))
    assert set[str]().union(*map(pages.modules_of, entries)) | pages.WORKLETS == names
    preloaded = re.findall(r'modulepreload" href="console/([^"]+)"', page)
    assert sorted([*preloaded, "main.js"]) == sorted(pages.modules_of("main.js"))


def test_all_modules_of_a_view_are_asked_for_at_once() -> None:
    text = (pages.FOLDER / "main.js").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^  (\w+): \[([^\]]*)\]", text, re.M))
    assert tuple(listed) == pages.VIEWS
    for view, names in listed.items():
        _, *modules = re.findall(r'"(\w+)"', names)
        assert modules[0] == view
        needed = pages.modules_of(f"{view}.js") - pages.modules_of("main.js")
        assert sorted(f"{name}.js" for name in modules) == sorted(needed)


def test_no_file_is_long() -> None:
    assert [path.name for path in OWN if len(path.read_text().splitlines()) > 400] == []


def test_third_party_code_is_listed_with_version_and_licence() -> None:
    text = (VENDOR / "LICENSES.txt").read_text(encoding="utf-8")
    for path in VENDOR.glob("*.js"):
        assert re.search(
            rf"^{re.escape(path.name)} +\S.* +\d+\.\d+\.\d+ +(MIT|Apache-2\.0)$", text, re.M
        )
        assert "sourceMappingURL" not in path.read_text(encoding="utf-8")
