"""Stories for an agent to tell, of three to five sentences, and a mouth with a cache.

No sentence repeats, so that a text identifies its story. The cache gives a text the same sound each
time.
"""

from collections.abc import Iterable
from functools import cache
from random import Random

from app.call.words.sentences import SentenceCutter
from app.simulator.voices.mouth import Spoken, espeak

NAMES = (
    "Anna", "Bruno", "Carmen", "Derek", "Elena", "Felix", "Greta", "Hector", "Ingrid", "Jonas",
    "Katrin", "Leopold", "Marisol", "Norbert", "Olivia", "Patrick", "Quentin", "Rosalind",
)  # fmt: skip
PLACES = (
    "Ashford", "Bristol", "Canterbury", "Dover", "Exeter", "Folkestone", "Gloucester", "Hereford",
    "Ipswich", "Kettering", "Lancaster", "Manchester", "Norwich", "Oxford", "Peterborough",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
HOURS = ("seven", "eight", "nine", "ten", "eleven", "noon", "two", "half past three", "four")
SENTENCES = (
    "I found {name} in the book for {place}.",
    "{name} left {place} on {day} at {hour}.",
    "The parcel from {place} will be with {name} by {hour}, or a little later if it rains.",
    "On {day} the train to {place} leaves from platform {small}.",
    "{name} asked me to tell you that the {place} office is closed until {day}.",
    "Your bill for {place} comes to {price} dollars, and {name} has already paid {small} of them.",
    "Is {day} at {hour} still good for {name}?",
    "The {place} branch opens at {hour}; ask for {name} at the desk.",
    "There are {small} people ahead of {name} in the queue for {place}.",
    "{name}, who runs the workshop in {place}, will call you back before {hour}.",
    "We can offer {name} a room in {place} for {price} dollars a night, breakfast included.",
    "Reference {code} belongs to {name} of {place}.",
    "Unfortunately {name} cannot come to {place} before {day}, because of the holidays.",
    "Room {small} in {place} is free for {name} from {day} on.",
    "The technician {name} needs about {small} minutes from {place} to your door.",
    "Let me put {name} down for {day} at {hour}, then.",
    "Both seats to {place} are together, and {name} sits by the window.",
    "{name} will need the insurance papers, a photograph, and the key to the {place} flat.",
    "No one in {place} has seen {name} since {day}.",
    "The warranty that {name} took out in {place} lasts another {small} months.",
    "Right, {name}, the meeting in {place} was moved to {hour} on {day}!",
    "It is {price} miles from {place} to where {name} lives now.",
    "Shall I send {name} the address in {place}, or do you have it?",
    "Since {day} the {place} line has been slow, so {name} may be {small} minutes late.",
    "{name} and {other} will share the taxi to {place}.",
    "For {place} press one, and for {name} press two.",
    "The soup that {name} ordered in {place} is very good on a {day}.",
    "Extraordinarily, the {place} refrigeration equipment survived {name}.",
    "I am sorry, but {name} is not in {place} any more.",
    "As of {day}, {name} has {price} points left on the {place} card.",
)


def stories(count: int, seed: int) -> list[str]:
    """Make `count` stories, the same ones for the same seed."""
    random, told = Random(seed), set[str]()
    found = []
    for _ in range(count):
        story: list[str] = []
        for _ in range(random.randint(3, 5)):
            sentence = _sentence(random)
            while sentence in told:
                sentence = _sentence(random)
            told.add(sentence)
            story.append(sentence)
        found.append(" ".join(story))
    return found


def _sentence(random: Random) -> str:
    name, other = random.sample(NAMES, 2)
    return random.choice(SENTENCES).format(
        name=name,
        other=other,
        place=random.choice(PLACES),
        day=random.choice(DAYS),
        hour=random.choice(HOURS),
        small=random.randint(2, 40),
        price=random.randint(41, 1250),
        code=" ".join(random.choices("123456789", k=5)),
    )


@cache
def by_heart(text: str, hz: int) -> Spoken:
    """A mouth: the sound of a text by espeak-ng, cached, because espeak-ng varies it."""
    return espeak(text, hz)


def learn(texts: Iterable[str], hz: int) -> None:
    """Fill the cache of `by_heart`, because synthesis blocks the event loop."""
    for text in texts:
        for piece in pieces(text):
            by_heart(piece, hz)


def pieces(text: str) -> list[str]:
    """The sentences into which the service cuts a text."""
    cutter = SentenceCutter()
    return [piece.strip() for piece in [*cutter.feed(text), *cutter.finish()]]


def length_ms(text: str, hz: int) -> float:
    """The length of a text's sound."""
    return sum(len(by_heart(piece, hz).pcm) for piece in pieces(text)) / (hz * 2 / 1000)
