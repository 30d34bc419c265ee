"""Sentences of phone agents spoken by espeak-ng, and how far estimated word times are off."""

import random
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from app.audio import ULAW_BYTES_PER_MS, ulaw_decode
from app.call.words.pause_alignment import Pace, Pause
from app.call.words.word_lengths import words
from app.call.words.word_times import WordTimes, complete, learn, so_far
from app.simulator.speech import utter
from app.wires.voices.pauses import SHORTEST_BYTES, Pauses

ENGLISH = (
    "Hello, thank you for calling Brightwater Dental, how can I help you today?",
    "Your appointment is on Tuesday, March 3rd, 2026 at 10:30.",
    "That comes to $12.50, plus $4.99 for delivery.",
    "Let me check that for you, one moment please.",
    "I'm sorry, I didn't catch your name; could you spell it for me?",
    "Our office is open from 9 to 5, Monday through Friday.",
    "The confirmation number is 4 8 1 5 1 6.",
    "I can offer you a table for two at 7:45 tomorrow evening.",
    "Is there anything else I can do for you?",
    "Thanks, Mr. Henderson, I have you down for two nights.",
    "Yes.",
    "Sure, no problem.",
    "You can reach us at 555 0199 until six o'clock.",
    "The total is 1,249 dollars, and the first payment of 416 dollars is due on June 15th.",
    "If you would like to speak to a human, just say so and I will put you through right away.",
    "We have three sizes: small, medium and large.",
    "Unfortunately the technician won't be there before noon, because of the heavy snow this week.",
    "Please bring your insurance card, a photo ID, and a list of the medicines you take.",
    "It's 20% off until Sunday, so now is a good time to buy.",
    "I've sent the confirmation to maria.lopez@example.com, please check your inbox.",
    "The flight leaves at 6:05 from gate B12.",
    "All right, Catherine, let me read that back to you: "
    "a large Margherita, no olives, extra cheese.",
    "Your balance is $1,032.17 as of this morning.",
    "There are five people ahead of you, and the wait is about 12 minutes.",
    "We cannot ship to that address, but we can deliver to a pickup point near you.",
    "Did you say fifteen, or fifty?",
    "Great, I have booked the blue room for Friday the 13th at half past eight.",
    "A mechanic will call you back within the hour.",
    "The warranty covers parts and labour for 24 months from the date of purchase.",
    "Could you tell me the last four digits of your card?",
    "I understand that this is frustrating, and I will do my best to get it sorted out today.",
    "Okay, so that is one return ticket to Edinburgh, "
    "leaving on the 2nd and coming back on the 9th.",
    "To cancel, press one; to change the time, press two.",
    "The nearest branch is at 221 Baker Street, just behind the station.",
    "We received your payment of £89.95 on 14 May.",
    "No, the pool is closed for repairs until the end of September.",
    "Dr. Abernathy is on holiday, but Dr. Singh can see you at 11:15.",
    "It should take between three and five business days to arrive, depending on where you live.",
    "Internationalization notwithstanding, our documentation is comprehensive.",
    "Go on, I am all ears.",
    "As far as I can see it is in our warehouse, and it will go out to you by noon.",
    "Your temperature controller, model XR-500, has been discontinued by the manufacturer.",
    "Perfect!",
    "One of our colleagues will be with you in a moment, thank you for your patience.",
    "The code is valid for 10 minutes, please do not share it with anyone.",
    "I would suggest the chicken soup, it is very good today.",
    "That number is 0 2 0, 7 9 4 6, 0 9 5 8.",
    "We have moved: our new address is 48 Elm Road, second floor, next to the pharmacy.",
    "Would Wednesday at four work for you, or is Thursday better?",
    "The router needs about two minutes to restart, so please stay on the line with me.",
)
BRITISH = (
    "Good afternoon, you're through to the bookings desk, who am I speaking to?",
    "The train to Manchester Piccadilly leaves at 14:22 from platform 6.",
    "That will be thirty-five pounds, payable at the desk.",
    "I'm afraid the kitchen closes at nine, but the bar serves snacks until eleven.",
    "Right, your claim has been registered under the reference 77 31 09.",
    "Would you like me to send you a text message with the details?",
)
GERMAN = (
    "Guten Tag, Sie sprechen mit der Praxis Doktor Weber, wie kann ich Ihnen helfen?",
    "Ihr Termin ist am Dienstag, dem 3. März, um 10:30 Uhr.",
    "Das macht zusammen 24,90 Euro, zahlbar bei Abholung.",
    "Einen Augenblick bitte, ich sehe gleich für Sie nach.",
    "Unsere Öffnungszeiten sind montags bis freitags von neun bis siebzehn Uhr.",
    "Leider ist unser Servicetechniker heute nicht mehr verfügbar, passt Ihnen morgen früh?",
    "Ja, gern.",
    "Die Lieferung dauert in der Regel zwei bis drei Werktage.",
    "Ich verbinde Sie jetzt mit der Buchhaltung, bleiben Sie bitte in der Leitung.",
    "Ihre Vorgangsnummer lautet 5 5 3 1 8.",
)
FRENCH = (
    "Bonjour, vous êtes bien au cabinet du docteur Moreau, que puis-je faire pour vous ?",
    "Votre rendez-vous est fixé au mardi 3 mars à 10 heures.",
    "Je suis désolé, je n'ai pas compris votre nom.",
    "Le total est de 45 euros, livraison comprise.",
    "Souhaitez-vous que je vous mette en relation avec un conseiller ?",
    "Nous sommes ouverts du lundi au vendredi, de neuf heures à dix-huit heures.",
)
SPANISH = (
    "Buenos días, gracias por llamar a la clínica dental, ¿en qué puedo ayudarle?",
    "Su cita es el martes 3 de marzo a las diez y media.",
    "El total es de 32 euros, gastos de envío incluidos.",
    "Un momento, por favor, voy a comprobarlo ahora mismo.",
    "El técnico llegará entre las nueve y las doce de la mañana.",
    "¿Quiere que le pase con una persona de nuestro equipo?",
)
VOICES = {
    "en-us": ENGLISH,
    "en-gb-x-rp": BRITISH + ENGLISH[::4],
    "en-us+f3": ENGLISH[1::5],
    "de": GERMAN,
    "fr": FRENCH,
    "es": SPANISH,
}


@dataclass(frozen=True, slots=True)
class Said:
    """A text as it was spoken, with the real times of its words in bytes of µ-law."""

    text: str
    total_bytes: int
    pauses: tuple[Pause, ...]
    #: Where each word really begins, and ends.
    begins: tuple[int, ...]
    ends: tuple[int, ...]

    def cut(self, at_byte: int) -> tuple[Pause, ...]:
        """The pauses known when this much audio has arrived."""
        found = [(start, min(end, at_byte)) for start, end in self.pauses]
        return tuple((start, end) for start, end in found if end - start >= SHORTEST_BYTES)


def by_espeak(text: str, *, voice: str, words_per_minute: int = 165) -> Said:
    utterance = utter(text, voice=voice, words_per_minute=words_per_minute)
    total = len(utterance.ulaw)
    listener = Pauses()
    pauses = tuple(listener.feed(ulaw_decode(utterance.ulaw)) + listener.finish())
    chunks, at = [], 0  # what espeak-ng speaks as one: from and to in the text, and its offset
    for spoken in utterance.words:
        chunks.append((at, at + len(spoken.text), spoken.offset_bytes))
        at += len(spoken.text)
    begins = []
    for word in words(text):
        number = bisect_right([start for start, _, _ in chunks], word.start) - 1
        start, end, offset = chunks[number]
        after = chunks[number + 1][2] if number + 1 < len(chunks) else total
        before = text[start : word.start].strip()
        begins.append(offset + round((after - offset) * len(before) / (end - start)))
    ends = [_silent_from(end, pauses) for end in [*begins[1:], total]]
    return Said(text, total, pauses, tuple(begins), tuple(ends))


def _silent_from(byte: int, pauses: Sequence[Pause]) -> int:
    """Where the pause begins that ends near `byte`."""
    near = [start for start, end in pauses if start < byte <= end + 40 * ULAW_BYTES_PER_MS]
    return near[-1] if near else byte


def by_rule(
    text: str,
    ms_of: Callable[[str], float],
    *,
    gap_ms: int = 0,
    mark_ms: int = 0,
    jitter: float = 0.0,
    chance: random.Random,
) -> Said:
    """Spoken by a voice whose words last as `ms_of` says, give or take the share `jitter`, with a
    pause of `gap_ms` behind each word, and `mark_ms` more behind punctuation."""
    at, begins, ends, pauses = 0, [], [], []
    for word in words(text):
        begins.append(at)
        at += round(ms_of(word.text) * chance.uniform(1 - jitter, 1 + jitter)) * ULAW_BYTES_PER_MS
        ends.append(at)
        pause = gap_ms + (mark_ms if word.mark else 0)
        if pause:
            pauses.append((at, at + pause * ULAW_BYTES_PER_MS))
            at = pauses[-1][1]
    return Said(text, at, tuple(pauses), tuple(begins), tuple(ends))


def by_characters(word: str) -> float:
    return 60.0 * len(word)


def all_alike(word: str) -> float:
    return 250.0


@dataclass(slots=True)
class Errors:
    """By how many words the estimates were off, and how often."""

    #: Compared with the words of which half was heard.
    half: Counter[int] = field(default_factory=Counter)
    #: Compared with the words that had begun.
    begun: Counter[int] = field(default_factory=Counter)
    #: Compared with the words that were over.
    over: Counter[int] = field(default_factory=Counter)

    def add(self, said: Said, times: WordTimes, heard_bytes: int) -> None:
        told = times.words_heard(heard_bytes)
        pairs = list(zip(said.begins, said.ends, strict=True))
        self.half[abs(told - sum((a + b) / 2 < heard_bytes for a, b in pairs))] += 1
        self.begun[abs(told - sum(a < heard_bytes for a, _ in pairs))] += 1
        self.over[abs(told - sum(b <= heard_bytes for _, b in pairs))] += 1

    @staticmethod
    def within_one(counts: Counter[int]) -> float:
        return (counts[0] + counts[1]) / counts.total()

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {self.within_one(counts):.2%} (worst {max(counts)})"
            for name, counts in (("half", self.half), ("begun", self.begun), ("over", self.over))
        )


def interrupted(
    all_said: Sequence[Said], chance: random.Random, *, times: int = 20, pace: Pace | None = None
) -> Errors:
    """Each text is interrupted at random places after all its audio has arrived."""
    errors = Errors()
    for said in all_said:
        estimate = complete(said.text, said.total_bytes, said.pauses, pace or Pace())
        for _ in range(times):
            errors.add(said, estimate, chance.randint(0, said.total_bytes))
    return errors


def interrupted_early(
    all_said: Sequence[Said], chance: random.Random, *, times: int = 8, pace: Pace | None = None
) -> Errors:
    """Each text is interrupted while its audio still arrives: heard up to there, or less."""
    errors = Errors()
    for said in all_said:
        for _ in range(times):
            received = chance.randint(said.total_bytes // 10, said.total_bytes)
            estimate = so_far(said.text, received, said.cut(received), pace or Pace())
            heard = received if chance.random() < 0.5 else chance.randint(0, received)
            errors.add(said, estimate, heard)
    return errors


def learnt(all_said: Sequence[Said]) -> Pace:
    """What is known about a voice that spoke these."""
    pace = Pace()
    for said in all_said:
        pace = learn(pace, said.text, said.total_bytes, said.pauses)
    return pace


def short(texts: Sequence[str], most: int = 25) -> Iterator[str]:
    """The texts, each cut to its first `most` words."""
    for text in texts:
        said = words(text)
        yield text[: said[min(most, len(said)) - 1].end]


def without_numbers(texts: Sequence[str]) -> list[str]:
    return [text for text in texts if not re.search("[0-9]", text)]
