"""The picture of the house: every room with its purpose, and what it imports, as plain SVG.

Each imported room has a lane of its own at the left: from the highest room that imports it down to
its arrow. A dot on the lane is an import. Those that others imply are not drawn.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape

from house.rooms import HOUSE, OUTSIDE, PURE_ROOM, ROOT, Room, reduced

FILE = ROOT / "docs" / "house.svg"

# All in pixels.
_WIDTH, _LEFT, _RIGHT = 900, 10, 766  # the picture; the boxes' right edge, and the walls' left one
_ROOF, _GROUND = 72, 32
_TITLE, _ROW, _BOX, _STOREY_GAP = 17, 22, 19, 6
_CHIPS = 13  # a line of module names in the pure room
_LANE, _LANE_GAP = 9, 15  # between lanes; between the innermost one and the boxes
_APART = 5  # between two rooms' spans on one lane
_TAG_LEFT, _TAG_WIDTH = 787, 108
_LETTER, _NAME_LETTER, _CHIP_LETTER = 6.0, 6.7, 6.1  # widths in the widest font that may be taken

_SANS = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
_MONO = "Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_INK, _SOFT, _STUB = "#1f2933", "#52606d", "#c3ccd5"
_STOREY_FILL, _EDGE = "#f3f5f8", "#b6c2cf"
_PURE_FILL, _PURE_EDGE = "#ffedc2", "#c98a00"
_LANE_COLOURS = ("#2f6f9f", "#b0573c", "#4f7f3a", "#7a5aa6", "#99801f", "#2a8a86", "#b0447d")
_TAG_FILLS = {"Twilio": "#d8293f", "OpenAI": "#0d7a5f", "SQLite": "#2c5f9e"}
_TAG_FILL = "#66717d"
_BETWEEN = 2 * "\N{NO-BREAK SPACE}"
_PURE_SAYS = "pure: no socket, no clock, no file, no thread"


@dataclass(frozen=True, slots=True)
class _Box:
    """Where a room stands. What it imports leaves below its middle, its importers enter above."""

    top: float
    height: float

    @property
    def leaves(self) -> float:
        return self.top + _BOX / 2 + 4

    @property
    def enters(self) -> float:
        return self.top + _BOX / 2 - 4


@dataclass(frozen=True, slots=True)
class _Plan:
    """What stands where. `storeys`: top and bottom of each. `lanes`: each imported room's, counted
    from the boxes outwards."""

    boxes: Mapping[str, _Box]
    storeys: Mapping[str, tuple[float, float]]
    imports: Mapping[str, frozenset[str]]
    lanes: Mapping[str, int]
    chips: tuple[str, ...]
    name_width: float

    @property
    def left(self) -> float:
        """The boxes' left edge."""
        return _LEFT + 12 + _LANE * max(self.lanes.values(), default=0) + _LANE_GAP

    @property
    def bottom(self) -> float:
        return max(bottom for _, bottom in self.storeys.values())

    def lane(self, name: str) -> float:
        return self.left - _LANE_GAP - _LANE * self.lanes[name]


def facts(rooms: Mapping[str, Room]) -> dict[str, object]:
    """What the picture says of the imports; it carries them as data."""
    return {
        "storeys": {storey: _within(storey, rooms) for storey in HOUSE},
        "imports": {name: sorted(each.imports) for name, each in rooms.items()},
    }


def picture(rooms: Mapping[str, Room]) -> str:
    """The whole SVG. The same rooms make the same text."""
    data = escape(json.dumps(facts(rooms), sort_keys=True), quote=False)
    shown = {name: each for name, each in rooms.items() if name != "__init__"}  # it says nothing
    plan = _plan(shown)
    height = plan.bottom + _GROUND
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" '
        f'width="{_WIDTH}" height="{height:g}" font-family="{_SANS}">',
        "<title>The rooms of app/ and their imports</title>",
        f'<metadata id="house">{data}</metadata>',
        f'<rect width="{_WIDTH}" height="{height:g}" fill="#ffffff"/>',
        *_shell(plan, shown),
        *_wiring(plan),
        *(line for each in shown.values() for line in _room(plan, each)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def read_facts(svg: str) -> object:
    """What a picture that was drawn before says of the imports."""
    data = svg.partition('<metadata id="house">')[2].partition("</metadata>")[0]
    return json.loads(data.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


# --- what stands where ----------------------------------------------------------------------------


def _within(storey: str, rooms: Mapping[str, Room]) -> list[str]:
    return [name for name in rooms if any(name in layer for layer in HOUSE[storey])]


def _plan(rooms: Mapping[str, Room]) -> _Plan:
    chips = _chips(rooms)
    boxes: dict[str, _Box] = {}
    storeys: dict[str, tuple[float, float]] = {}
    y = float(_ROOF)
    for storey in HOUSE:
        names = _within(storey, rooms)
        if not names:
            continue
        top, y = y, y + _TITLE
        for name in names:
            more = _CHIPS * len(chips) + 4 if name == PURE_ROOM else 0
            boxes[name] = _Box(y, _BOX + more)
            y += _ROW + more
        storeys[storey] = (top, y + 3)
        y += 3 + _STOREY_GAP
    imports = reduced({name: each.imports & rooms.keys() for name, each in rooms.items()})
    name_width = _NAME_LETTER * max(map(len, rooms)) + 14
    return _Plan(boxes, storeys, imports, _lanes(boxes, imports), chips, name_width)


def _chips(rooms: Mapping[str, Room]) -> tuple[str, ...]:
    """The modules of the pure room, in lines that fit its box."""
    if PURE_ROOM not in rooms or not rooms[PURE_ROOM].modules:
        return ()
    most = int((_RIGHT - 200) / _CHIP_LETTER)
    lines = [""]
    for name in rooms[PURE_ROOM].modules:
        longer = f"{lines[-1]}{_BETWEEN}{name}" if lines[-1] else name
        if len(longer) > most:
            lines.append(name)
        else:
            lines[-1] = longer
    return tuple(lines)


def _lanes(boxes: Mapping[str, _Box], imports: Mapping[str, frozenset[str]]) -> dict[str, int]:
    """A lane for each imported room; the shortest stand next to the boxes, and rooms share a lane
    where neither is in the other's way."""
    spans = {
        name: (min(boxes[each].leaves for each in importers), box.enters)
        for name, box in boxes.items()
        if (importers := [each for each, own in imports.items() if name in own])
    }
    lanes: dict[str, int] = {}
    for name in sorted(spans, key=lambda each: (spans[each][1] - spans[each][0], each)):
        start, end = spans[name]
        taken = {
            lanes[other]
            for other in lanes
            if spans[other][0] < end + _APART and start < spans[other][1] + _APART
        }
        lanes[name] = next(lane for lane in range(len(spans)) if lane not in taken)
    return lanes


# --- drawing --------------------------------------------------------------------------------------


def _text(x: float, y: float, text: str, size: float, fill: str = _INK, more: str = "") -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{fill}"{more}>{escape(text)}</text>'
    )


def _shell(plan: _Plan, rooms: Mapping[str, Room]) -> Iterator[str]:
    """Roof, storeys and ground."""
    wall = _RIGHT + 8
    middle = (_LEFT + wall) / 2
    eaves, ridge = _ROOF - 8, 8
    yield (
        f'<path d="M{_LEFT - 6} {eaves} L{middle:g} {ridge} L{wall + 6} {eaves} Z" fill="#e3e8ee" '
        f'stroke="{_EDGE}" stroke-linejoin="round"/>'
    )
    lines = sum(each.lines for each in rooms.values())
    modules = sum(1 + len(each.modules) for each in rooms.values())
    centred = ' text-anchor="middle"'
    bold = ' font-weight="bold"'
    yield _text(middle, 42, "app/", 17, more=centred + bold)
    said = f"{len(rooms)} rooms, {modules} modules, {_number(lines)} lines; every import runs down"
    yield _text(middle, 59, said, 11, _SOFT, centred)
    for storey, (top, bottom) in plan.storeys.items():
        pure = PURE_ROOM in plan.boxes and top < plan.boxes[PURE_ROOM].top < bottom
        fill, edge = (_PURE_FILL, _PURE_EDGE) if pure else (_STOREY_FILL, _EDGE)
        thick = 2 if pure else 1
        yield (
            f'<rect x="{_LEFT}" y="{top:g}" width="{wall - _LEFT}" height="{bottom - top:g}" '
            f'rx="3" fill="{fill}" stroke="{edge}" stroke-width="{thick}"/>'
        )
        spaced = ' letter-spacing="1"'
        yield _text(plan.left, top + 13, storey.upper(), 9, _SOFT, bold + spaced)
        if pure:
            x = plan.left + 8.6 * len(storey) + 10
            yield _text(x, top + 13, _PURE_SAYS, 10, _SOFT, ' font-style="italic"')
    ground = plan.bottom + 7
    yield f'<path d="M0 {ground:g} H{_WIDTH}" stroke="{_SOFT}" stroke-width="2"/>'
    legend = (
        "A dot on a lane: this room imports the one at its arrow. What others imply is left out."
    )
    yield _text(_LEFT, ground + 17, legend, 10, _SOFT)


def _wiring(plan: _Plan) -> Iterator[str]:
    """Stubs from the importing rooms, lanes to the imported ones, and dots where they meet."""
    for name, own in plan.imports.items():
        if own:
            furthest = min(plan.lane(each) for each in own)
            y = plan.boxes[name].leaves
            yield f'<path d="M{plan.left:g} {y:g} H{furthest:g}" stroke="{_STUB}"/>'
    outwards = sorted(plan.lanes, key=lambda each: (-plan.lanes[each], plan.boxes[each].top))
    for number, name in enumerate(outwards):
        colour = _LANE_COLOURS[number % len(_LANE_COLOURS)]
        x, end = plan.lane(name), plan.boxes[name].enters
        joints = [plan.boxes[each].leaves for each, own in plan.imports.items() if name in own]
        yield (
            f'<path d="M{x:g} {min(joints):g} V{end - 4:g} q0 4 4 4 H{plan.left - 5:g}" '
            f'fill="none" stroke="{colour}" stroke-width="1.4"/>'
        )
        yield f'<path d="M{plan.left:g} {end:g} l-7 -3.2 v6.4 Z" fill="{colour}"/>'
        for y in joints:
            yield f'<circle cx="{x:g}" cy="{y:g}" r="2.4" fill="{colour}"/>'


def _room(plan: _Plan, room: Room) -> Iterator[str]:
    box, pure = plan.boxes[room.name], room.name == PURE_ROOM
    edge, thick = (_PURE_EDGE, 1.6) if pure else (_EDGE, 1)
    yield (
        f'<rect x="{plan.left:g}" y="{box.top:g}" width="{_RIGHT - plan.left:g}" '
        f'height="{box.height:g}" rx="3" fill="#ffffff" stroke="{edge}" stroke-width="{thick}"/>'
    )
    base = box.top + 13.5
    bold = f' font-weight="bold" font-family="{_MONO}"'
    yield _text(plan.left + 7, base, room.name, 11, more=bold)
    start = plan.left + 7 + plan.name_width
    count = f"{_number(room.lines)} lines"
    if room.modules:
        count = f"{len(room.modules) + 1} modules, {count}"
    yield _text(_RIGHT - 7, base, count, 10, _SOFT, ' text-anchor="end"')
    most = int((_RIGHT - 16 - start) / _LETTER - len(count))
    yield _text(start, base, _short(room.purpose, most), 10.5, _SOFT)
    if pure:
        for number, line in enumerate(plan.chips, start=1):
            y = base + 1 + _CHIPS * number
            yield _text(plan.left + 7, y, line, 10, _SOFT, f' font-family="{_MONO}"')
    if room.name in OUTSIDE:
        yield from _tag(box, OUTSIDE[room.name])


def _tag(box: _Box, said: str) -> Iterator[str]:
    y = box.top + _BOX / 2
    start, end = _RIGHT + 1, _TAG_LEFT - 1
    fill = _TAG_FILLS.get(said.split()[0], _TAG_FILL)
    yield f'<path d="M{start + 4} {y:g} H{end - 4}" stroke="{fill}" stroke-width="1.6"/>'
    yield f'<path d="M{start} {y:g} l6 -3.2 v6.4 Z M{end} {y:g} l-6 -3.2 v6.4 Z" fill="{fill}"/>'
    yield (
        f'<rect x="{_TAG_LEFT}" y="{box.top:g}" width="{_TAG_WIDTH}" height="{_BOX}" rx="9" '
        f'fill="{fill}"/>'
    )
    middle = ' text-anchor="middle" font-weight="bold"'
    yield _text(_TAG_LEFT + _TAG_WIDTH / 2, y + 3.5, said, 9.5, "#ffffff", middle)


def _number(count: int) -> str:
    return f"{count:,}".replace(",", "\N{NO-BREAK SPACE}")


def _short(told: str, most: int) -> str:
    """As much of a sentence as fits, to the end of a clause, else of a word."""
    told = told.replace("`", "").rstrip(".")
    if len(told) <= most:
        return told
    clauses = [at for at in range(most, most // 2, -1) if told[at : at + 2] in (", ", "; ", ": ")]
    if clauses:
        return told[: clauses[0]]
    return told[: most - 1].rpartition(" ")[0].rstrip(",;:") + " …"
