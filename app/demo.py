"""A whole call on this machine, with no account at all.

A spoken caller, a simulated line and a scripted model; the bridge in the middle is the real one,
with real sockets to both sides. The caller asks, interrupts the answer, orders, and says goodbye;
the terminal shows it as it happens.
"""

import asyncio
import secrets
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.agent_file import load_agent
from app.audio import ULAW_BYTES_PER_MS
from app.call import commands as do
from app.call import events as ev
from app.main import create_app
from app.recorder import CallInfo
from app.server import Server, bind
from app.services import Services
from app.settings import Settings
from app.simulator.realtime import RealtimeServer, Reply, Turn
from app.simulator.speech import speak
from app.simulator.twilio import Call, Network, PhoneLine
from app.store import TurnRow

AGENT_FILE = Path(__file__).parents[1] / "examples" / "pizzeria.toml"
ACCOUNT_SID = "AC" + "0" * 32
NETWORK = Network(delay_ms=40, jitter_ms=5, seed=1)  # a usual way to Twilio's edge and back
CALLER_VOICE, AGENT_VOICE = "en-gb-x-rp", "en-us+f3"

QUESTION = "Hello! What pizzas do you have?"
INTERRUPTION = "Sorry, stop there. One large Margherita please, for Ada."
GOODBYE = "Thank you, that is all. Goodbye!"
INTERRUPT_AFTER_MS = 3200.0
THINKING_MS = 300


class PizzeriaModel:
    """What the scripted model hears and says, turn by turn."""

    def __init__(self) -> None:
        self._heard = [QUESTION, INTERRUPTION, GOODBYE]
        self._answers: list[Reply] = [
            Reply(tool_calls=[("menu", {"size": "large"})], delay_ms=THINKING_MS),
            self._say(
                "We have three. A large Margherita is eleven euros, a large Funghi is twelve "
                "fifty, and a large Diavola is thirteen. They all come from our wood oven."
            ),
            self._say(
                "One large Margherita for Ada. One moment.",
                ("place_order", {"name": "Ada", "items": [{"pizza": "margherita"}]}),
            ),
            self._say("Done. That is eleven euros, and you can pick it up in twenty minutes."),
            self._say("Thank you, Ada. See you soon. Goodbye!", ("end_call", {"reason": "done"})),
        ]

    @staticmethod
    def _say(text: str, *tool_calls: tuple[str, dict[str, object]]) -> Reply:
        audio = speak(text, voice=AGENT_VOICE)
        return Reply(text, audio=audio, tool_calls=tool_calls, delay_ms=THINKING_MS)

    def answer(self, turn: Turn) -> Reply:
        if turn.kind == "direct":
            words = turn.instructions.rpartition("Say exactly this, and nothing else: ")[2]
            return self._say(words if words != turn.instructions else "Are you still there?")
        return self._answers.pop(0)

    def transcribe(self, _ulaw: bytes) -> str:
        return self._heard.pop(0) if self._heard else ""


async def the_caller(call: Call) -> None:
    """Ask, interrupt, order, say goodbye. The agent hangs up."""
    await call.wait_connected()
    await call.wait_quiet(600)
    call.say(speak(QUESTION, voice=CALLER_VOICE))
    await call.wait_heard(len(call.heard) + int(INTERRUPT_AFTER_MS * ULAW_BYTES_PER_MS))
    call.say(speak(INTERRUPTION, voice=CALLER_VOICE))
    await call.wait_spoken()
    await call.wait_heard(len(call.heard) + 1)
    await call.wait_quiet(2600)  # longer than the agent takes to place the order
    call.say(speak(GOODBYE, voice=CALLER_VOICE))


class Screen:
    """Prints what happens, as it happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._speech_ended_ms: float | None = None
        self.latencies_ms: list[float] = []
        self.cuts_ms: list[int] = []

    def watch(self, _call: CallInfo, message: ev.Event | do.Command, now_ms: float) -> None:
        match message:
            case ev.StreamStarted():
                self._line(now_ms, "line", "the caller is connected", "green")
            case ev.SpeechStarted():
                self._line(now_ms, "caller", "…", "cyan")
            case ev.SpeechStopped():
                self._speech_ended_ms = now_ms
            case ev.CallerTranscribed(_, text):
                self._line(now_ms, "caller", text, "bold cyan")
            case do.PlayAudio() if self._speech_ended_ms is not None:
                self.latencies_ms.append(now_ms - self._speech_ended_ms)
                self._speech_ended_ms = None
            case ev.TranscriptCompleted(_, text):
                self._line(now_ms, "agent", text, "bold magenta")
            case do.TruncateItem(_, _, audio_end_ms):
                self.cuts_ms.append(audio_end_ms)
                note = f"interrupted: Twilio's buffer cleared, {audio_end_ms} ms of this were heard"
                self._line(now_ms, "bridge", note, "yellow")
            case do.RunTool(_, name, arguments):
                self._line(now_ms, "tool", f"{name} {arguments}", "blue")
            case ev.ToolReturned(_, output):
                self._line(now_ms, "tool", f"→ {output}", "blue")
            case do.HangUp(reason):
                note = f"the goodbye was heard to its last mark; hanging up ({reason})"
                self._line(now_ms, "bridge", note, "yellow")
            case ev.StreamEnded():
                self._line(now_ms, "line", "the call is over", "green")
            case ev.ModelLost(reason):
                self._line(now_ms, "bridge", f"model lost: {reason}", "red")

    def _line(self, now_ms: float, who: str, what: str, style: str) -> None:
        row = Table.grid(padding=(0, 1))
        row.add_column(width=8, justify="right")
        row.add_column(width=7)
        row.add_column(ratio=1)
        row.add_row(Text(f"{now_ms / 1000:.2f} s", "dim"), Text(who, "bold"), Text(what, style))
        self._console.print(row)

    def summary(self, turns: list[TurnRow], call: Call) -> None:
        """What was heard, and how well."""
        table = Table(title="What the caller and the agent heard of each other", show_lines=False)
        for column in ("at", "who", "heard", ""):
            table.add_column(column)
        for turn in turns:
            if turn.role != "tool":
                note = f"cut after {turn.heard_ms:.0f} ms" if turn.cut else ""
                table.add_row(f"{turn.at_ms / 1000:.1f} s", turn.role, turn.text, note)
        self._console.print(table)
        if self.latencies_ms:
            middle = sorted(self.latencies_ms)[len(self.latencies_ms) // 2]
            self._console.print(
                f"End of the caller's turn to first audio sent: {middle:.0f} ms in the median, "
                f"of which the scripted model thinks {THINKING_MS} ms."
            )
        for cut_ms, clear in zip(self.cuts_ms, call.playback.clears, strict=False):
            self._console.print(
                f"Interruption: the model was told {cut_ms} ms; the clear dropped "
                f"{clear.dropped_bytes / 8:.0f} ms that the caller did not hear."
            )


async def run_demo(console: Console) -> bool:
    """Hold the call. Returns whether it went as it should."""
    console.print("A spoken caller rings the pizzeria of examples/pizzeria.toml …\n")
    model = PizzeriaModel()
    screen = Screen(console)
    auth_token, api_token = secrets.token_hex(16), secrets.token_hex(16)
    listener = bind("127.0.0.1", 0)
    webhook_url = f"http://127.0.0.1:{listener.getsockname()[1]}/incoming-call"
    async with (
        RealtimeServer(model.answer, transcribe=model.transcribe) as server,
        PhoneLine(
            webhook_url,
            account_sid=ACCOUNT_SID,
            auth_token=auth_token,
            network=NETWORK,
            status_callback_url="/call-status",
        ) as line,
    ):
        with TemporaryDirectory() as folder:
            settings = Settings(
                openai_api_key=SecretStr("demo"),
                openai_base_url=server.base_url,
                twilio_account_sid=ACCOUNT_SID,
                twilio_auth_token=SecretStr(auth_token),
                twilio_api_key=None,
                twilio_api_secret=None,
                twilio_api_base_url=line.rest_url,
                public_url=None,
                api_token=SecretStr(api_token),
                database_url=SecretStr(f"sqlite:///{folder}/demo.db"),
                max_calls=0,
            )
            services = await Services.open(settings, load_agent(AGENT_FILE))
            services.watchers.append(screen.watch)
            bridge = Server(create_app(settings, services), drain_s=5)
            running = asyncio.create_task(bridge.serve(sockets=[listener]))
            try:
                call = await line.call(caller=the_caller)
                await call.wait_ended()
                await services.store.flush()
                turns = await services.store.turns(call.call_sid)
            finally:
                bridge.should_exit = True
                await running
    console.print()
    screen.summary(turns, call)
    return call.status == "completed" and bool(screen.cuts_ms)
