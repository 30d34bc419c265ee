"""The start page with 200 live calls, in a headless Chromium: its first paint, and how late the
page shows what happens."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median, quantiles

from pydantic import SecretStr

from app.config.settings import Settings
from app.main import create_app
from app.web.app_state import state_of
from app.web.console.pages import first_load_bytes, whole_load_bytes
from app.web.live.board import Board, CallState, Card, LiveTurn
from app.web.server import Server, bind
from bench.console.report import Figure
from tests.web.console.browser import browsing

CALL_COUNT = 200
#: Changes of each call, in a second.
CHANGES = 2.0
SECONDS = 15.0
RUNS = 5
PAINT_MS, LATE_MS = 1000.0, 500.0
PAGE_BYTES = 60_000
TOKEN = "the token of the bench"
_STATES: tuple[CallState, ...] = ("agent", "caller", "thinking", "listening")

# Lateness: the last words of each call are the time at which they were made.
WATCH = """
window.late = [];
window.watching = () => {
  const list = document.querySelector("ul.calls");
  new MutationObserver((changes) => {
    for (const { target } of changes) {
      const made = Number(/made (\\d+\\.\\d+)/.exec(target.textContent)?.[1]);
      if (made) window.late.push(Date.now() - made * 1000);
    }
  }).observe(list, { subtree: true, childList: true, characterData: true });
};
window.filled = (count) => new Promise((done) => {
  const look = () => {
    if (document.querySelectorAll("a.call.live").length >= count) {
      requestAnimationFrame(() => setTimeout(() => done(performance.now())));
    } else requestAnimationFrame(look);
  };
  look();
});
"""


class FedCall:
    """A live call whose state and words change."""

    def __init__(self, number: int) -> None:
        self._card = Card(
            f"CA{number:032x}", "inbound", f"+1555000{number:04d}", "+15550000000", "Ada",
            time.time() - number, "listening", "", "", "",
        )  # fmt: skip

    @property
    def call_sid(self) -> str:
        return self._card.call_sid

    def card(self) -> Card:
        return self._card

    def turns(self) -> Sequence[LiveTurn]:
        return ()

    def change(self, number: int) -> None:
        words = f"made {time.time():.3f}, " + "and some more words that were heard " * 2
        state = _STATES[number % len(_STATES)]
        self._card = replace(self._card, state=state, words=words, words_by="assistant")


async def _feed(board: Board, fed: list[FedCall]) -> None:
    number = 0
    while True:
        fed[number % CALL_COUNT].change(number)
        board.turns_changed(fed[number % CALL_COUNT].call_sid)
        number += 1
        await asyncio.sleep(1 / (CALL_COUNT * CHANGES))


async def measure() -> list[Figure]:
    """Paint, lateness and weight."""
    settings = Settings(
        api_token=SecretStr(TOKEN),
        database_url=SecretStr("sqlite:///:memory:"),
        openai_api_key=SecretStr("none"),
    )
    listener = bind("127.0.0.1", 0)
    app = create_app(settings)
    server = Server(app, 0)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    board = state_of(app).board
    fed = [FedCall(number) for number in range(CALL_COUNT)]
    for call in fed:
        board.put(call.call_sid, call)
    feeding = asyncio.create_task(_feed(board, fed))
    painted, late = [], []
    try:
        for run in range(RUNS):
            async with browsing(url, TOKEN) as it:
                await it.page.add_init_script(WATCH)
                await it.page.goto(f"{url}/#token={TOKEN}")
                painted.append(float(await it.page.evaluate(f"filled({CALL_COUNT})")))
                if run == 0:
                    await it.page.evaluate("watching()")
                    await asyncio.sleep(SECONDS)
                    late = [float(each) for each in await it.page.evaluate("late")]
    finally:
        feeding.cancel()
        server.should_exit = True
        await serving
    p99 = quantiles(late, n=100)[98]
    seen = f"{len(late)} changes in {SECONDS:g} s"
    return [
        Figure(f"{CALL_COUNT} live calls on the page, first paint, {RUNS} times",
               median(painted), max(painted), "ms", PAINT_MS),
        Figure(f"shown after it happened, {seen}; worst: p99", median(late), p99, "ms", LATE_MS),
        Figure("weight of the start page, compressed; worst: of all views",
               float(first_load_bytes("start")), float(whole_load_bytes()), "bytes", PAGE_BYTES),
    ]  # fmt: skip
