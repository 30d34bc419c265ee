"""The keypad: which keys belong to one entry, whose entry it is, and which keys are dropped."""

from collections.abc import Iterable
from random import Random

import pytest

from app.call.caller.keypad import (
    ASKED_PAUSE_MS,
    CONTINUE_MS,
    LONGEST_ENTRY,
    MASK,
    PAUSE_MS,
    STRAY_MS,
    TAIL_MS,
    DigitEntry,
    Keypad,
)
from app.call.deadlines import NEVER

TIMEOUT_MS = 30_000.0


class Typist:
    """A caller at a keypad that is settled whenever it is due."""

    def __init__(self) -> None:
        self.keypad = Keypad()
        self.now_ms = 0.0
        self.entries: list[tuple[float, DigitEntry]] = []

    def run(self, ms: float) -> None:
        until_ms = self.now_ms + ms
        while (due_ms := self.keypad.next_ms(self.now_ms)) <= until_ms:
            assert due_ms > self.now_ms
            self.now_ms = due_ms
            self._settle()
        self.now_ms = until_ms

    def press(self, digits: Iterable[str], gap_ms: float = 300.0) -> None:
        """These keys, and a gap after each."""
        for digit in digits:
            self.keypad.pressed(digit, self.now_ms)
            self._settle()
            self.run(gap_ms)

    def ask(self, length: int = 0, *, secret: bool = False, call_id: str = "call_1") -> None:
        self.keypad.ask(call_id, length, self.now_ms, secret=secret, timeout_ms=TIMEOUT_MS)

    def _settle(self) -> None:
        while (entry := self.keypad.take_complete(self.now_ms)) is not None:
            self.entries.append((self.now_ms, entry))

    @property
    def typed(self) -> list[DigitEntry]:
        return [entry for _, entry in self.entries]


@pytest.fixture
def caller() -> Typist:
    return Typist()


# --- keys that no tool asked for ----------------------------------------------------------------


def test_keys_belong_together_until_a_pause_of_two_seconds(caller: Typist) -> None:
    caller.press("12", 1999)
    caller.press("3", 0)
    caller.run(1999)
    assert caller.typed == []
    caller.run(1)
    assert caller.typed == [DigitEntry("123", lone=True)]
    assert not caller.typed[0].calls_human


def test_a_hash_ends_an_entry_at_once_and_is_no_part_of_it(caller: Typist) -> None:
    caller.press("12#", 100)
    assert caller.entries == [(200.0, DigitEntry("12"))]
    caller.run(60_000)
    assert len(caller.typed) == 1


def test_a_hash_alone_is_an_entry(caller: Typist) -> None:
    caller.press("#", 0)
    caller.run(PAUSE_MS)
    assert caller.typed == [DigitEntry("#", lone=True)]


def test_two_entries_are_two(caller: Typist) -> None:
    caller.press("1", CONTINUE_MS)
    caller.press("2", CONTINUE_MS)
    assert [entry.digits for entry in caller.typed] == ["1", "2"]
    assert not any(entry.replaces for entry in caller.typed)


# --- keys that continue an entry ----------------------------------------------------------------


@pytest.mark.parametrize("gap_ms", [2000.0, 2600.0, 4999.0])
def test_keys_soon_after_an_entry_replace_it_by_a_longer_one(caller: Typist, gap_ms: float) -> None:
    caller.press("4071", gap_ms)
    assert caller.typed == [
        DigitEntry("4", lone=True),
        DigitEntry("40", replaces="4"),
        DigitEntry("407", replaces="40"),
        DigitEntry("4071", replaces="407"),
    ]
    assert human(caller) == [False] * 4


#: By story: each key with the pause before it (ms), and the entries, with what each replaces.
STORIES = {
    "in one go": ("4 0+300 7+300 1+300", ["4071"]),
    "in two parts": ("4 0+300 7+2600 1+300", ["40", "4071<40"]),
    "in three parts": ("4 0+2100 7+2100", ["4", "40<4", "407<40"]),
    "after five seconds": ("4 0+300 7+5000 1+300", ["40", "71"]),
    "a hash ends it for good": ("4 0+300 #+300 7+300 1+300", ["40", "71"]),
    "a late hash belongs to it": ("4 0+300 #+2600", ["40"]),
    "a late hash ends it for good": ("4 0+300 #+2600 7+300", ["40", "7"]),
    "a hash ends the longer one": ("4 0+300 7+2600 1+300 #+300", ["40", "4071<40"]),
    "a zero in it": ("4 0+2600", ["4", "40<4"]),
    "a zero after it": ("4 1+300 0+4900", ["41", "410<41"]),
    "a zero before it": ("0 4+1900", ["04"]),
    "a zero after a hash": ("4 #+300 0+4900", ["4", "0"]),
    "a star": ("4 *+2600", ["4", "4*<4"]),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_story_of_keys(caller: Typist, story: str) -> None:
    keys, expected = STORIES[story]
    for step in keys.split():
        key, _, pause = step.partition("+")
        caller.run(float(pause or 0))
        caller.press(key, 0)
    caller.run(10_000)
    entries = [e.digits + f"<{e.replaces}" * bool(e.replaces) for e in caller.typed]
    assert entries == expected and not any(human(caller))


@pytest.mark.parametrize("story", range(300))
def test_each_key_is_in_exactly_one_final_entry(caller: Typist, story: int) -> None:
    """An entry is final when none replaces it. Tools ask in between."""
    random = Random(story)
    pressed = ""
    for _ in range(random.randint(1, 12)):
        begun = caller.keypad.begun
        free = not caller.keypad.asked and (begun is None or not begun.replaces)
        if random.random() < 0.3 and free:
            caller.ask(random.choice([0, 3]))
        key = random.choice("0123456789*#")
        if key != "#" or caller.keypad.typing:
            pressed += key
            caller.press(key, random.choice([100, 1900, 2000, 2600, 4900, 5000, 7000]))
    caller.run(60_000)
    final: list[str] = []
    for entry in caller.typed:
        if entry.replaces:
            assert final.pop() == entry.replaces and entry.digits.startswith(entry.replaces)
        final.append(entry.digits)
    assert "".join(final) == pressed.replace("#", "")


def test_an_entry_that_reached_a_human_is_not_continued(caller: Typist) -> None:
    caller.press("0", 2000)
    caller.keypad.close()
    caller.press("7", 2000)
    assert caller.typed[-1] == DigitEntry("7")


def test_keys_after_a_tool_asked_do_not_continue_an_entry(caller: Typist) -> None:
    caller.press("4", 2000)
    caller.ask(2)
    caller.press("71", 300)
    caller.press("9", 2000)
    assert caller.typed[1:] == [DigitEntry("71", "call_1"), DigitEntry("9")]


# --- another leg --------------------------------------------------------------------------------


def resumed(before: Typist, after_ms: float) -> Typist:
    """The keypad of the leg after this one."""
    entry = before.keypad.open_entry()
    caller = Typist()
    caller.now_ms = before.now_ms + after_ms
    if entry is not None:
        caller.keypad.resume(entry, caller.now_ms)
    return caller


def test_keys_that_no_pause_ended_are_continued_on_the_next_leg(caller: Typist) -> None:
    caller.press("40", 300)
    caller = resumed(caller, 4000)
    caller.press("71", 300)
    caller.run(10_000)
    assert caller.typed == [DigitEntry("4071", lone=True)]


def test_a_complete_entry_is_continued_on_the_next_leg(caller: Typist) -> None:
    caller.press("40", 2000)
    caller = resumed(caller, 1000)
    caller.press("71", 300)
    caller.run(10_000)
    assert caller.typed == [DigitEntry("4071", replaces="40")]


def test_an_entry_in_the_middle_of_its_second_part_is_continued(caller: Typist) -> None:
    caller.press("4", 2600)
    caller.press("0", 300)
    caller = resumed(caller, 1000)
    caller.press("7", 300)
    caller.run(10_000)
    assert caller.typed == [DigitEntry("407", replaces="4")]


def test_a_lone_zero_reaches_a_human_on_the_next_leg(caller: Typist) -> None:
    caller.press("0", 300)
    caller = resumed(caller, 4000)
    caller.run(PAUSE_MS)
    assert human(caller) == [True]


def test_nothing_is_left_where_no_key_was_pressed(caller: Typist) -> None:
    assert caller.keypad.open_entry() is None


@pytest.mark.parametrize("asked", [False, True])
def test_an_entry_that_is_over_is_not_continued_on_the_next_leg(
    caller: Typist, asked: bool
) -> None:
    """And a 0 soon after it is not lone."""
    if asked:
        caller.ask(4)
    caller.press("40" if asked else "40#", 300)
    caller = resumed(caller, 1000)
    caller.press("0", 10_000)
    assert caller.typed == [DigitEntry("0")] and human(caller) == [False]


def test_an_idle_keypad_has_no_deadline(caller: Typist) -> None:
    assert caller.keypad.next_ms(0) == NEVER
    caller.press("7#", 0)
    caller.run(1)
    assert caller.keypad.next_ms(caller.now_ms) == NEVER
    assert not caller.keypad.typing


# --- the lone 0 ---------------------------------------------------------------------------------


def human(caller: Typist) -> list[bool]:
    return [entry.calls_human for entry in caller.typed]


def test_a_lone_zero_calls_for_a_human(caller: Typist) -> None:
    caller.press("0", 0)
    caller.run(1999)
    assert caller.typed == []
    caller.run(1)
    assert human(caller) == [True]


@pytest.mark.parametrize("keys", ["00", "01", "10", "0#", "*0", "0*", "0A"])
def test_a_zero_among_other_keys_does_not_call_a_human(caller: Typist, keys: str) -> None:
    caller.press(keys, 1000)
    caller.run(10_000)
    assert human(caller) == [False]


@pytest.mark.parametrize(("gap_ms", "called"), [(4999.0, False), (5000.0, True)])
def test_a_zero_is_lone_five_seconds_after_the_last_key(
    caller: Typist, gap_ms: float, called: bool
) -> None:
    caller.press("12#", 0)
    caller.run(gap_ms)
    caller.press("0", 0)
    caller.run(10_000)
    assert human(caller) == [False, called]


def test_a_zero_after_a_complete_entry_is_not_lone(caller: Typist) -> None:
    caller.ask(2)
    caller.press("12", 500)
    caller.press("0", 0)
    caller.run(10_000)
    assert human(caller) == [False, False]


def test_a_lone_zero_calls_every_time(caller: Typist) -> None:
    caller.press("000", CONTINUE_MS)
    assert human(caller) == [True] * 3


# --- what a tool asked for ----------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 4])
def test_a_zero_alone_for_five_seconds_calls_a_human_though_a_tool_asks(
    caller: Typist, length: int
) -> None:
    caller.ask(length)
    caller.press("0", 4999)
    assert caller.typed == []
    caller.run(1)
    assert caller.typed == [DigitEntry("0", "call_1", lone=True)] and human(caller) == [True]


@pytest.mark.parametrize("keys", ["00", "0*", "0#", "30"])
def test_a_zero_among_the_keys_that_a_tool_asked_for_goes_to_the_tool(
    caller: Typist, keys: str
) -> None:
    caller.ask()
    caller.press(keys, 4900)
    caller.run(10_000)
    assert caller.typed == [DigitEntry(keys.rstrip("#"), "call_1")]


def test_a_zero_soon_after_another_entry_goes_to_the_tool(caller: Typist) -> None:
    caller.press("7", 2000)
    caller.ask()
    caller.press("0", ASKED_PAUSE_MS)
    assert caller.typed[-1] == DigitEntry("0", "call_1")


@pytest.mark.parametrize("keys", ["0", "0#"])
def test_a_zero_of_one_key_that_a_tool_asked_for_goes_to_the_tool(
    caller: Typist, keys: str
) -> None:
    caller.ask(1)
    caller.press(keys, 100)
    caller.run(30_000)
    assert caller.typed == [DigitEntry("0", "call_1")]


def test_an_entry_of_the_asked_length_is_complete_at_once(caller: Typist) -> None:
    caller.ask(4)
    caller.press("1234", 0)
    assert caller.entries == [(0.0, DigitEntry("1234", "call_1"))]


def test_an_entry_of_a_known_length_gives_five_seconds_for_each_key(caller: Typist) -> None:
    caller.ask(4)
    caller.press("12", 4999)
    assert caller.typed == []
    caller.press("3", 0)
    caller.run(ASKED_PAUSE_MS)
    assert caller.typed == [DigitEntry("123", "call_1")]


def test_an_entry_of_any_length_ends_with_a_pause_of_five_seconds(caller: Typist) -> None:
    caller.ask()
    caller.press("12", 4999)
    assert caller.typed == []
    caller.run(1)
    assert caller.typed == [DigitEntry("12", "call_1")]


@pytest.mark.parametrize(("keys", "digits"), [("#", ""), ("12#", "12")])
def test_a_hash_ends_what_a_tool_asked_for(caller: Typist, keys: str, digits: str) -> None:
    caller.ask(4)
    caller.press(keys, 0)
    assert caller.typed == [DigitEntry(digits, "call_1")]


def test_a_caller_who_types_nothing_gives_an_empty_entry(caller: Typist) -> None:
    caller.ask(4)
    caller.run(TIMEOUT_MS - 1)
    assert caller.typed == []
    caller.run(1)
    assert caller.typed == [DigitEntry("", "call_1")] and not caller.keypad.asked
    caller.run(60_000)
    assert len(caller.typed) == 1


def test_the_deadline_of_an_entry_starts_after_a_long_prompt(caller: Typist) -> None:
    caller.ask(4)
    caller.keypad.prompt_ends(20_000)
    caller.run(TIMEOUT_MS + 19_999)
    assert caller.typed == []
    caller.run(1)
    assert caller.typed == [DigitEntry("", "call_1")]


def test_what_was_pressed_just_before_is_the_beginning_of_what_a_tool_asks_for(
    caller: Typist,
) -> None:
    caller.press("99", 100)
    caller.ask(4)
    caller.press("12", 100)
    assert caller.typed == [DigitEntry("9912", "call_1")]


def test_what_was_pressed_before_can_be_set_apart(caller: Typist) -> None:
    caller.press("99", 100)
    assert caller.keypad.begun == DigitEntry("99")
    caller.keypad.drop_begun()
    caller.ask(2)
    caller.press("12", 100)
    assert caller.keypad.begun is None and caller.typed == [DigitEntry("12", "call_1")]


@pytest.mark.parametrize("secret", [False, True])
def test_a_hash_after_a_complete_entry_belongs_to_it(caller: Typist, secret: bool) -> None:
    """Callers end a PIN with # out of habit."""
    caller.ask(4, secret=secret)
    caller.press("1234", 300)
    assert caller.keypad.ignores("#", caller.now_ms)
    caller.press("#", 5000)
    assert caller.typed == [DigitEntry("1234", "call_1")]


def test_a_hash_after_one_entry_does_not_end_the_next(caller: Typist) -> None:
    caller.ask(2)
    caller.press("12", 300)
    caller.ask(2, call_id="call_2")
    caller.press("#34", 300)
    assert [entry.digits for entry in caller.typed] == ["12", "34"]


def test_a_second_hash_is_a_key(caller: Typist) -> None:
    caller.ask(2)
    caller.press("12##", 300)
    caller.run(PAUSE_MS)
    assert [entry.digits for entry in caller.typed] == ["12", "#"]


def test_keys_after_a_tool_failed_are_for_the_agent(caller: Typist) -> None:
    caller.ask(4)
    caller.press("1", 100)
    caller.keypad.drop("call_9", caller.now_ms)
    assert caller.keypad.asked
    caller.keypad.drop("call_1", caller.now_ms)
    assert not caller.keypad.asked and not caller.keypad.typing
    caller.press("2", 2000)
    assert caller.typed == [DigitEntry("2")]


def test_a_timeout_comes_though_a_secret_was_typed_shortly_before(caller: Typist) -> None:
    """What is due for one entry must not hide what is due for the next."""
    caller.ask(2, secret=True)
    caller.press("12", 100)
    caller.run(1000)
    caller.ask(2, call_id="call_2")
    caller.run(TIMEOUT_MS)
    assert caller.typed[-1] == DigitEntry("", "call_2")


# --- secrets ------------------------------------------------------------------------------------


def test_a_secret_is_masked_and_muted_from_the_prompt_on(caller: Typist) -> None:
    assert not caller.keypad.secret(0) and not caller.keypad.muted(0)
    caller.ask(4, secret=True)
    assert caller.keypad.secret(0) and caller.keypad.muted(0)


def test_an_entry_that_is_no_secret_is_neither_masked_nor_muted(caller: Typist) -> None:
    caller.ask(4)
    assert not caller.keypad.secret(0) and not caller.keypad.muted(0)


def test_the_caller_is_unmuted_after_the_tone_of_the_last_key(caller: Typist) -> None:
    caller.ask(4, secret=True)
    caller.press(MASK * 4, 0)
    assert caller.typed == [DigitEntry(MASK * 4, "call_1")]
    caller.run(TAIL_MS - 1)
    assert caller.keypad.muted(caller.now_ms)
    assert caller.keypad.next_ms(caller.now_ms) == caller.now_ms + 1
    caller.run(1)
    assert not caller.keypad.muted(caller.now_ms)


def test_a_key_too_many_of_a_secret_is_masked_and_dropped(caller: Typist) -> None:
    caller.ask(4, secret=True)
    caller.press(MASK * 4, 300)
    assert caller.keypad.secret(caller.now_ms) and caller.keypad.ignores("5", caller.now_ms)
    caller.press(MASK, 0)
    assert caller.keypad.muted(caller.now_ms)
    caller.run(60_000)
    assert len(caller.typed) == 1


def test_a_key_two_seconds_after_a_secret_is_for_the_agent_again(caller: Typist) -> None:
    caller.ask(4, secret=True)
    caller.press(MASK * 4, 0)
    caller.run(PAUSE_MS)
    assert not caller.keypad.secret(caller.now_ms)
    caller.press("5", PAUSE_MS)
    assert caller.typed[-1].digits == "5"


def test_a_secret_ended_by_a_hash_is_over(caller: Typist) -> None:
    caller.ask(secret=True)
    caller.press([MASK, MASK, "#"], 0)
    assert not caller.keypad.secret(caller.now_ms)
    caller.press("5", PAUSE_MS)
    assert [entry.digits for entry in caller.typed] == [MASK * 2, "5"]


@pytest.mark.parametrize("length", [0, 4])
def test_the_rest_of_an_incomplete_secret_is_dropped(caller: Typist, length: int) -> None:
    caller.ask(length, secret=True)
    caller.press(MASK * 2, 0)
    caller.run(6000)  # the caller drops the card
    assert caller.typed == [DigitEntry(MASK * 2, "call_1")]
    for _ in range(3):
        assert caller.keypad.secret(caller.now_ms) and caller.keypad.muted(caller.now_ms)
        caller.press(MASK, 3000)
    caller.run(STRAY_MS)
    assert len(caller.typed) == 1
    assert not caller.keypad.secret(caller.now_ms) and not caller.keypad.muted(caller.now_ms)


def test_a_hash_ends_the_rest_of_a_secret(caller: Typist) -> None:
    caller.ask(4, secret=True)
    caller.press(MASK, 6000)
    caller.press([MASK, "#"], 0)
    assert not caller.keypad.secret(caller.now_ms) and caller.keypad.muted(caller.now_ms)
    caller.run(TAIL_MS)
    assert not caller.keypad.muted(caller.now_ms)
    caller.press("7", PAUSE_MS)
    assert caller.typed[-1].digits == "7"


def test_a_secret_not_begun_in_time_stays_masked_for_a_while(caller: Typist) -> None:
    caller.ask(4, secret=True)
    caller.run(TIMEOUT_MS)
    assert caller.keypad.secret(caller.now_ms)
    caller.press(MASK * 4, 500)
    caller.run(60_000)
    assert caller.typed == [DigitEntry("", "call_1")]


@pytest.mark.parametrize("begun", [True, False])
def test_a_secret_whose_tool_failed_stays_masked_for_a_while(caller: Typist, begun: bool) -> None:
    caller.ask(4, secret=True)
    caller.press(MASK * 2 if begun else "", 300)
    caller.keypad.drop("call_1", caller.now_ms)
    assert caller.keypad.secret(caller.now_ms) and caller.keypad.muted(caller.now_ms)
    caller.press(MASK * 2, 300)
    caller.run(60_000)
    assert caller.typed == [] and not caller.keypad.muted(caller.now_ms)


def test_an_open_entry_gets_its_digits_after_an_incomplete_secret(
    caller: Typist,
) -> None:
    caller.ask(4, secret=True)
    caller.press(MASK, 6000)
    caller.ask(2, call_id="call_2")
    assert not caller.keypad.secret(caller.now_ms)
    caller.press("12", 100)
    assert caller.typed[-1] == DigitEntry("12", "call_2")


@pytest.mark.parametrize(
    ("keys", "clocks_ms"),
    [
        (MASK * 4, [TAIL_MS, PAUSE_MS]),
        (MASK * 2, [ASKED_PAUSE_MS, ASKED_PAUSE_MS + STRAY_MS]),
    ],
)
def test_every_deadline_after_a_secret_is_met(
    caller: Typist, keys: str, clocks_ms: list[float]
) -> None:
    caller.ask(4, secret=True)
    caller.press(keys, 0)
    looked_ms = []
    while (at_ms := caller.keypad.next_ms(caller.now_ms)) != NEVER:
        looked_ms.append(at_ms)
        caller.run(at_ms - caller.now_ms)
    assert looked_ms == clocks_ms
    assert not caller.keypad.muted(caller.now_ms) and not caller.keypad.secret(caller.now_ms)


def test_an_entry_has_an_end_though_keys_go_on(caller: Typist) -> None:
    caller.press("7" * 5000, 50)
    caller.run(PAUSE_MS)
    assert [len(entry.digits) for entry in caller.typed] == [LONGEST_ENTRY]
