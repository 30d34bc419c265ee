"""The picture of a transfer: who says what to whom, until a human or the agent has the caller.

The steps are told here, each with what it is in the code: the events and commands of the call, the
routes, the TwiML. That a call really goes so is for the tests to say.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from app.call import commands as do
from app.call import events as ev
from house.rooms import ROOT

FILE = ROOT / "docs" / "transfer.svg"

# From left to right. All in pixels.
COLUMNS = {"caller": 62.0, "human": 222.0, "Twilio": 412.0, "bridge": 640.0, "model": 838.0}
_HEADS = {"caller": "Caller", "human": "Human", "Twilio": "Twilio", "bridge": "Bridge",
          "model": "Model"}  # fmt: skip
_WIDTH, _LEFT, _RIGHT = 900, 8, 892
_TOP, _HEAD, _HEAD_WIDTH = 12, 26, 92
_STEP, _MORE, _TITLE, _NOTE, _PART_GAP = 25, 13, 24, 26, 10
_LETTER = 5.9  # of a label, in the widest font that may be taken

_SANS = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
_INK, _SOFT, _LIFE, _EDGE = "#1f2933", "#52606d", "#9aa7b4", "#b6c2cf"
_FILLS = {"caller": "#0072B2", "human": "#7a5aa6", "Twilio": "#d8293f", "bridge": "#c98a00",
          "model": "#0d7a5f"}  # fmt: skip
_PART_FILL, _NOTE_FILL, _NOTE_EDGE = "#f3f5f8", "#fff8e1", "#e3c770"

_ENDED = "/transfers/{call_sid}/{number}/ended"
_WHISPER = "/transfers/{call_sid}/{number}/whisper"
_PRESSED = "/transfers/{call_sid}/{number}/pressed"


@dataclass(frozen=True, slots=True)
class Step:
    """Something is said. `more`: a second line. `messages`: the call's events and commands in which
    it is seen. `route`: where it is posted; `template`: the TwiML that it is; `to_model`: the type
    of what the model's side is sent."""

    sender: str
    receiver: str
    text: str
    more: str = ""
    messages: tuple[type[ev.Event | do.Command], ...] = ()
    route: str = ""
    template: str = ""
    to_model: str = ""

    @property
    def answers(self) -> bool:
        """Whether it answers a request of Twilio's."""
        return bool(self.template) and not self.messages


@dataclass(frozen=True, slots=True)
class Note:
    """Something to know at this point."""

    text: str


@dataclass(frozen=True, slots=True)
class Part:
    """Steps under a title. `choice`: one of several ways to go on."""

    title: str
    rows: tuple[Step | Note, ...]
    choice: bool = False

    @property
    def steps(self) -> list[Step]:
        return [row for row in self.rows if isinstance(row, Step)]


ANNOUNCED = Part(
    "1 · The caller is told, and hears it out",
    (
        Step("model", "bridge", "“I am connecting you.”", messages=(ev.AudioReceived,)),
        Step(
            "bridge",
            "Twilio",
            "media, marks",
            messages=(do.PlayAudio, do.SendMark),
        ),
        Step(
            "model",
            "bridge",
            "transfer_to_human",
            "destination, reason, summary",
            messages=(ev.OutputItemDone,),
        ),
        Step("Twilio", "caller", "“I am connecting you.”"),
        Step("Twilio", "bridge", "mark", "heard to the last byte", messages=(ev.MarkEchoed,)),
        Note("A caller who speaks before that is not transferred, unless the model asks again."),
        Step(
            "bridge",
            "Twilio",
            "REST: the call's new TwiML",
            "<Dial> the first destination",
            messages=(do.TransferCall,),
            template="transfer",
        ),
        Step(
            "Twilio",
            "bridge",
            "stop",
            "the stream ends, the call does not",
            messages=(ev.StreamEnded,),
        ),
        Step("bridge", "model", "the session is closed", messages=(do.EndLeg,)),
    ),
)
RUNG = Part(
    "2 · One destination after the other is rung",
    (
        Step("Twilio", "human", "rings", "the first: no answer"),
        Step("Twilio", "bridge", "POST …/ended", "DialCallStatus=no-answer", route=_ENDED),
        Step("bridge", "Twilio", "<Dial> the next destination", template="transfer"),
        Step("Twilio", "human", "rings", "the next: picks up"),
        Step("Twilio", "bridge", "POST …/whisper", route=_WHISPER),
        Step("bridge", "Twilio", "<Gather> <Say> the summary", template="whisper"),
        Step("Twilio", "human", "“A caller is waiting …", "To talk to them, press 1.”"),
    ),
)
TAKEN = Part(
    "3a · A human presses 1",
    (
        Step("human", "Twilio", "1"),
        Step("Twilio", "bridge", "POST …/pressed", "Digits=1", route=_PRESSED),
        Step("bridge", "Twilio", "<Response/>: put them through", template="accepted"),
        Step("caller", "human", "they talk"),
        Step("Twilio", "bridge", "POST …/ended", "DialBridged=true", route=_ENDED),
        Step("bridge", "Twilio", "<Hangup/>: the call is over", template="goodbye"),
    ),
    choice=True,
)
BACK = Part(
    "3b · No key, another key, a voicemail, and nobody is left to ring",
    (
        Step("Twilio", "bridge", "POST …/ended", "DialBridged=false", route=_ENDED),
        Step(
            "bridge",
            "model",
            "session.update",
            "a new session",
            messages=(do.ConfigureSession,),
            to_model="session.update",
        ),
        Step(
            "bridge",
            "model",
            "conversation.item.create …",
            "all turns as heard, and the outcome",
            messages=(do.AddMessage,),
            to_model="conversation.item.create",
        ),
        Step(
            "bridge",
            "model",
            "response.create",
            "say what happened",
            messages=(do.CreateResponse,),
            to_model="response.create",
        ),
        Step("bridge", "Twilio", "<Connect> <Stream>", template="incoming-call"),
        Step(
            "Twilio",
            "bridge",
            "start",
            "another stream of the same call",
            messages=(ev.StreamStarted,),
        ),
        Step("model", "bridge", "“Nobody could take your call …”", messages=(ev.AudioReceived,)),
        Step("bridge", "Twilio", "media, marks", messages=(do.PlayAudio,)),
        Step("Twilio", "caller", "“Nobody could take your call …”"),
    ),
    choice=True,
)
PARTS = (ANNOUNCED, RUNG, TAKEN, BACK)


def facts() -> list[object]:
    """What the picture says; it carries it as data."""
    return [[part.title, [_fact(row) for row in part.rows]] for part in PARTS]


def _fact(row: Step | Note) -> list[str]:
    if isinstance(row, Note):
        return [row.text]
    return [row.sender, row.receiver, row.text, row.more]


def picture() -> str:
    """The whole SVG."""
    data = escape(json.dumps(facts(), ensure_ascii=False), quote=False)
    first = _TOP + _HEAD + 12
    height = first + sum(_height(part) + _PART_GAP for part in PARTS) + _HEAD + 4
    foot = height - _HEAD - 4
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" '
        f'width="{_WIDTH}" height="{height:g}" font-family="{_SANS}">',
        "<title>A caller is handed to a human, or comes back to the agent</title>",
        f'<metadata id="transfer">{data}</metadata>',
        f'<rect width="{_WIDTH}" height="{height:g}" fill="#ffffff"/>',
    ]
    y = float(first)
    rows: list[str] = []
    for part in PARTS:
        lines.extend(_frame(part, y))
        rows.extend(_rows(part, y + _TITLE))
        y += _height(part) + _PART_GAP
    for name, x in COLUMNS.items():
        lines.append(
            f'<path d="M{x:g} {_TOP + _HEAD} V{foot:g}" stroke="{_LIFE}" stroke-dasharray="3 3"/>'
        )
        lines.extend(_head(name, _TOP))
        lines.extend(_head(name, foot))
    return "\n".join([*lines, *rows, "</svg>"]) + "\n"


def read_facts(svg: str) -> object:
    """What a picture that was drawn before says."""
    data = svg.partition('<metadata id="transfer">')[2].partition("</metadata>")[0]
    return json.loads(data.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


# --- drawing --------------------------------------------------------------------------------------


def _height(part: Part) -> float:
    return _TITLE + sum(_row_height(row) for row in part.rows) + 8


def _row_height(row: Step | Note) -> float:
    if isinstance(row, Note):
        return _NOTE
    return _STEP + (_MORE if row.more else 0)


def _text(x: float, y: float, text: str, size: float, fill: str = _INK, more: str = "") -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{fill}"{more}>{escape(text)}</text>'
    )


def _head(name: str, top: float) -> Iterator[str]:
    x = COLUMNS[name]
    yield (
        f'<rect x="{x - _HEAD_WIDTH / 2:g}" y="{top:g}" width="{_HEAD_WIDTH}" height="{_HEAD}" '
        f'rx="4" fill="{_FILLS[name]}"/>'
    )
    middle = ' text-anchor="middle" font-weight="bold"'
    yield _text(x, top + 17.5, _HEADS[name], 12.5, "#ffffff", middle)


def _frame(part: Part, top: float) -> Iterator[str]:
    dashed = ' stroke-dasharray="6 3"' if part.choice else ""
    yield (
        f'<rect x="{_LEFT}" y="{top:g}" width="{_RIGHT - _LEFT}" height="{_height(part):g}" '
        f'rx="4" fill="{_PART_FILL}" stroke="{_EDGE}"{dashed}/>'
    )


def _rows(part: Part, top: float) -> Iterator[str]:
    yield from _label(_LEFT + 10, top - 8, part.title, 11.5, "start", bold=True)
    for row in part.rows:
        if isinstance(row, Note):
            yield from _note(row, top)
        else:
            yield from _step(row, top)
        top += _row_height(row)


def _note(note: Note, top: float) -> Iterator[str]:
    left, right = COLUMNS["caller"] - 36, COLUMNS["bridge"] + 36
    yield (
        f'<rect x="{left:g}" y="{top + 4:g}" width="{right - left:g}" height="18" rx="3" '
        f'fill="{_NOTE_FILL}" stroke="{_NOTE_EDGE}"/>'
    )
    yield _text((left + right) / 2, top + 17, note.text, 10.5, _INK, ' text-anchor="middle"')


def _step(step: Step, top: float) -> Iterator[str]:
    start, end = COLUMNS[step.sender], COLUMNS[step.receiver]
    y = top + 18
    way = 1 if end > start else -1
    colour = _FILLS[step.sender]
    both = step.route == "" and {step.sender, step.receiver} == {"caller", "human"}
    dashed = ' stroke-dasharray="5 3"' if step.answers else ""
    begin = start + (7 * way if both else 0)
    yield (
        f'<path d="M{begin:g} {y:g} H{end - 7 * way:g}" stroke="{colour}" stroke-width="1.6"'
        f"{dashed}/>"
    )
    yield f'<path d="M{end:g} {y:g} l{-8 * way} -3.6 v7.2 Z" fill="{colour}"/>'
    if both:
        yield f'<path d="M{start:g} {y:g} l{8 * way} -3.6 v7.2 Z" fill="{colour}"/>'
    middle = (start + end) / 2
    yield from _label(middle, y - 5, step.text, 10.5, "middle")
    if step.more:
        yield from _label(middle, y + 12, step.more, 9.5, "middle", _SOFT)


def _label(
    x: float, y: float, text: str, size: float, anchor: str, fill: str = _INK, *, bold: bool = False
) -> Iterator[str]:
    """Text with the part's ground behind it, so that no life line runs through it."""
    width = _LETTER * size / 10.5 * len(text) * (1.08 if bold else 1)
    left = x - width / 2 if anchor == "middle" else x
    yield (
        f'<rect x="{left - 2:g}" y="{y - size + 1:g}" width="{width + 4:g}" height="{size + 2:g}" '
        f'fill="{_PART_FILL}"/>'
    )
    weight = ' font-weight="bold"' if bold else ""
    yield _text(x, y, text, size, fill, f' text-anchor="{anchor}"{weight}')
