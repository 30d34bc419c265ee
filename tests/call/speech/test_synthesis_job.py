"""One utterance: its audio is held, released in whole chunks, and cut at the end of a word."""

import base64
from itertools import count

from app.call.speech.synthesis_job import SynthesisJob
from app.call.words.utterance import Utterance

CHUNK = base64.b64encode(b"\x10" * 800).decode()


def job(text: str, *, chunks: int, pauses: list[tuple[int, int]] | None = None) -> SynthesisJob:
    """An utterance of which so many chunks of 100 ms have arrived."""
    made = SynthesisJob(Utterance("utterance_1", "item_1", text, pauses=pauses or []))
    for _ in range(chunks):
        made.receive(CHUNK, 800)
    return made


def test_chunks_are_released_whole_and_in_order() -> None:
    held = job("one two", chunks=3)

    assert held.next_bytes == 800
    assert [size for _, size in held.release(1700)] == [800, 800]
    assert held.utterance.released_bytes == 1600 and held.utterance.size_bytes == 2400
    assert held.release(2399) == [] and len(held.release(2400)) == 1
    assert held.next_bytes is None


def test_a_restart_forgets_what_arrived() -> None:
    failed = job("one two", chunks=3, pauses=[(0, 100)])
    failed.utterance.timed.append(("one", 100, 900))
    failed.restart()

    assert failed.next_bytes is None and failed.release(9999) == []
    assert (failed.utterance.size_bytes, failed.utterance.pauses) == (0, [])
    assert failed.utterance.timed == []
    assert failed.utterance.text == "one two"


def test_a_job_is_cut_at_a_pause_and_the_rest_has_the_remaining_words() -> None:
    """The pause behind the comma is within the held audio: the cut is at its start."""
    text = "Good evening, we are open"
    failed = job(text, chunks=12, pauses=[(7000, 8000)])
    failed.release(4000)
    numbers = count(2)
    chunks, rest = failed.break_off(lambda: f"utterance_{next(numbers)}")

    assert failed.utterance.text == "Good evening," and failed.utterance.complete
    assert failed.utterance.size_bytes == failed.utterance.released_bytes == 7000
    assert [size for _, size in chunks] == [800, 800, 800, 600]
    assert len(base64.b64decode(chunks[-1].payload)) == 600
    assert rest is not None and rest.attempts is failed.attempts
    assert (rest.utterance.id, rest.utterance.item_id) == ("utterance_2", "item_1")
    assert (rest.utterance.before, rest.utterance.text) == (" ", "we are open")
    assert failed.next_bytes is None


def test_a_stopped_job_keeps_the_words_of_the_audio_that_was_released() -> None:
    stopped = job("Good evening, we are open", chunks=12, pauses=[(7000, 8000)])
    stopped.release(7200)
    stopped.stop()

    assert stopped.utterance.text == "Good evening,"
    assert stopped.utterance.size_bytes == 7200 and stopped.utterance.complete


def test_nothing_is_left_of_a_job_that_is_cut_behind_its_last_word() -> None:
    failed = job("Yes.", chunks=5, pauses=[(3000, 4000)])
    failed.release(2400)
    chunks, rest = failed.break_off(lambda: "utterance_2")

    assert rest is None and failed.utterance.text == "Yes."
    assert failed.utterance.released_bytes == failed.utterance.size_bytes
    assert 2400 + sum(size for _, size in chunks) == failed.utterance.released_bytes
