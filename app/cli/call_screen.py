"""A live call on the terminal: its status, and the transcript as it grows."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from app.records.report.call_text import clock
from app.records.visible import one_line
from app.wires.twilio.call import TERMINAL

_WHO = {"user": ("callee", "cyan"), "assistant": ("agent", "magenta"), "tool": ("tool", "green")}
_ENDED_BY = {"caller": "the callee", "agent": "the agent"}


class Screen:
    """Prints a line for every change of one call, and below them a line with the current status.

    Call `placed` first, then `show` with every reading of the record inside `watching()`.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._line = Status("", console=console)
        self._call_sid = ""
        self._status = ""
        self._since_s = 0.0
        self._answered_by = ""
        #: The transcript of the last reading.
        self._turns: list[Mapping[str, Any]] = []
        #: The text of each turn that is printed already.
        self._printed: list[str] = []

    def placed(self, call_sid: str, to: str) -> None:
        self._call_sid = call_sid
        self._print(_text(call_sid, "bold").append(one_line(f" to {to}"), "not bold"))

    def watching(self) -> Status:
        """The status line, for `with`: shown inside the block."""
        return self._line

    def show(self, record: Mapping[str, Any], *, last: bool) -> None:
        """Print what changed in the record. `last`: print all turns, and how the call ended."""
        if (status := str(record.get("status"))) != self._status:
            self._status, self._since_s = status, time.monotonic()
            if status not in TERMINAL:
                self._print(_text(status, "bold"))
        if (answered_by := record.get("answered_by") or "") != self._answered_by:
            self._answered_by = str(answered_by)
            self._print(_text(f"answered by {answered_by}", "bold"))
        self._show_turns(record.get("transcript") or [], last)
        for_s = time.monotonic() - self._since_s
        now = f"{status} for {clock(1000 * for_s)} (Ctrl-C stops watching)"
        self._line.update(_text(status if status in TERMINAL else now))
        if last:
            self._show_end(record)

    def _show_turns(self, turns: list[Mapping[str, Any]], last: bool) -> None:
        """Print turns that are complete and did not change since the last reading.

        The text of a turn grows while the caller still hears it.
        """
        for number, turn in enumerate(turns):
            settled = number < len(self._turns) and self._turns[number] == turn
            if not last and not (settled and turn.get("complete")):
                break
            text = " ".join(str(turn.get("text", "")).split())
            if number == len(self._printed):
                self._printed.append("")
            shown = self._printed[number]
            if text and text != shown:
                self._printed[number] = text
                rest = text.removeprefix(shown) if shown else text
                self._print_turn(turn, rest.strip(), more=bool(shown))
        self._turns = turns

    def _print_turn(self, turn: Mapping[str, Any], text: str, *, more: bool) -> None:
        who, style = _WHO.get(str(turn.get("role")), ("", ""))
        if who == "tool":
            text = f"{(turn.get('extra') or {}).get('name', '')} → {text}"
        at = clock(float(turn.get("at_ms") or 0.0))
        words = one_line(f"{'…' * more}{text}")
        self._print(Text(f"{at:>8}  {who:<6}  ", "dim").append(words, f"not dim {style}"))

    def _show_end(self, record: Mapping[str, Any]) -> None:
        for transfer in record.get("transfers") or []:
            fields = ", ".join(f"{name}: {value}" for name, value in transfer.items())
            self._print(_text(f"transfer  {fields}"))
        end = _text(self._status, "bold")
        if (seconds := record.get("duration_s")) is not None:
            end.append(f" after {clock(1000 * float(seconds))}")
        if ended_by := record.get("ended_by"):
            end.append(one_line(f", ended by {_ENDED_BY.get(str(ended_by), str(ended_by))}"))
        self._print(end)

    def stopped(self, url: str) -> None:
        """Ctrl-C: print how to end the call, which goes on. `url`: the service's address."""
        if self._call_sid:
            self._print(Text("No longer watching; the call goes on. To end it:"))
            hang_up = f"{url}/calls/{self._call_sid}/hangup"
            self._print(_text(f'  curl -X POST -H "Authorization: Bearer $API_TOKEN" {hang_up}'))
        else:
            self._print(
                Text("Stopped. The call may have been placed: python -m app calls lists it.")
            )

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)  # so that a pipe gets whole lines


def _text(words: str, style: str = "") -> Text:
    """Text from the service, with its control characters escaped."""
    return Text(one_line(words), style)
