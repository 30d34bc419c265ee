"""Tells the end of a sentence from what only looks like one: numbers, abbreviations, addresses.

It judges the end of a text and what follows it; `app.call.words.sentences` does the cutting.
"""

import re
from enum import Enum

ENDS_AT_ONCE = frozenset("。！？；｡")  # no space follows these, so the sentence ends here
MARKS = frozenset(".!?…．؟۔।॥")  # what follows these decides whether a sentence ends
WIDE = re.compile(  # a character is about a syllable, and no spaces separate the words
    "[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f"
    "\uff00-\uff60\uffe0-\uffe6\U00020000-\U0003ffff]"
)
SAYABLE = re.compile(r"[^\W_]")

# These belong to the sentence that they follow: quotes, brackets, Markdown's markers, emoji.
_CLOSERS = frozenset("\"'”’“‘«›‹)]}*_~`」』）】》〉〕］｝")
_OPENERS = "\"'“‘„‚«»‹›([{*_~`「『（【《〈〔［｛¿¡#>-+•| \t\r\n"
_EMOJI = re.compile(
    "[\u200d\u20e3\u2190-\u2bff\ufe0e\ufe0f\U0001f000-\U0001fbff\U000e0020-\U000e007f]"
)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_LONGEST_TAG = 40

# Abbreviations that end no sentence, without their last period. Those in lower case match in any
# case, the others only as written.
_NEVER_LAST = frozenset(
    """Ph Dr Mr Mrs Ms Mx Prof Rev Hon Gen Col Sgt Capt Lt Gov Sen St Mt Messrs e.g i.e eg ie vs cf
    approx ca Hr Fr Nr nr Str bzw ggf evtl inkl exkl zzgl bspw vgl sog Dipl Sr Sra Sres Srta Dra Ud
    Uds Vd Avda núm aprox Mme Mmes Mlle Mlles Mgr MM""".split()
)
_MAYBE_LAST = frozenset(  # these end the sentence when a capital follows
    """etc a.m p.m U.S U.K U.S.A U.N E.U D.C N.Y Ph.D M.D B.A M.A Inc Ltd Co Corp Bros Jr Jan Feb
    Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Tues Wed Thu Thur Thurs Fri Sat Sun Ave Blvd Rd
    Ln Apt no No vol ext dept tel tél sec min max hr hrs mins lb lbs oz ft usw uvm Std Min
    Sek Mio Mrd Abs Art pág Cía av bd env""".split()
)
_DOTTED = re.compile(r"(?<![^\s\"'“„«(\[*_])(?:[^\W\d_]\.\s?)*[^\W\d_]$")  # "J", "z. B", "p.m"
_LONGEST_DOTTED = 24
_ADDRESS = re.compile(r"://|@|_|\\|^www\b|[^\W_][.．][^\W_]")  # also a file, a version, an IP

_ORDINAL = re.compile(r"\d{1,2}")
_BEFORE_ORDINAL = re.compile(
    r"(?:^|\s)(?:(?<!I )am|im|vom|zum|zur|beim|d(?:er|ie|as|em|en|es)|bis|ab|seit|diese[mnrs]?"
    r"|jede[mnrs]?|(?:[mdsk]?ein|[Ii]hr|unser)(?:e[mnrs]?)?)\s+$"
)
_AFTER_ORDINAL = frozenset(
    """Januar Jänner Februar März April Mai Juni Juli August September Oktober November Dezember
    Stock Stockwerk Etage Obergeschoss OG UG Mal Klasse Quartal Platz Tag Woche Monat Jahr
    Jahrhundert Reihe Advent Geburtstag Termin Versuch Schritt Teil Gang Bezirk Stunde Runde Liga
    Person Straße""".split()
)


class End(Enum):
    """How a text ends that may be a whole sentence. All but `SURE` depend on the next word."""

    SURE = "followed by a space, it is a sentence"
    CLOSED = "a quote, a bracket or a marker; a word in lower case continues the sentence"
    TRAILING_OFF = "an ellipsis; a word in lower case continues the sentence"
    ADDRESS = "an address, which may continue; or a word in lower case continues the sentence"
    ABBREVIATION = "an abbreviation that ends a sentence when a capital follows"
    NUMBER = "a number; digits or a word in lower case continue the sentence"
    ORDINAL = "a number of one or two digits; as NUMBER, and a German noun continues the sentence"


def end_of(text: str) -> End | None:
    """How this text ends; None if no sentence can end there. `text`: without space at its end."""
    body = len(text)
    while body and (shorter := _without_closer(text, body)) < body:
        body = shorter
    start = body
    while start and text[start - 1] in MARKS:
        start -= 1
    marks, head = text[start:body], text[:start]
    if not marks:
        return None
    if marks.endswith(("..", "…")):
        return End.TRAILING_OFF
    quoted = body < len(text) or head.rfind("«") > head.rfind("»")
    plain = End.CLOSED if quoted else End.SURE
    word = _last_word(head)
    if marks in (".", "．") and word and SAYABLE.match(word[-1]):
        return _numbered(head, word) if word[-1].isdigit() else _lettered(head, word, plain)
    return End.ADDRESS if _ADDRESS.search(word) else plain


def _without_closer(text: str, end: int) -> int:
    """Where the last closer (see `_CLOSERS`) of `text[:end]` begins; `end` if there is none."""
    last = text[end - 1]
    if last == "»":  # French puts a space before it
        return len(text[: end - 1].rstrip())
    if last in _CLOSERS or _EMOJI.match(last):
        return end - 1
    if last == ">":
        begin = text.rfind("<", max(0, end - _LONGEST_TAG), end)
        if begin >= 0 and _TAG.fullmatch(text, begin, end):
            return begin
    return end


def _last_word(head: str) -> str:
    begin = len(head)
    while begin and not head[begin - 1].isspace() and not WIDE.match(head[begin - 1]):
        begin -= 1
    return head[begin:].lstrip(_OPENERS)


def _numbered(head: str, word: str) -> End | None:
    before = head.removesuffix(word)
    if not before.strip(_OPENERS):
        return None  # the number of a list item
    if not _ORDINAL.fullmatch(word):
        return End.NUMBER
    return None if _BEFORE_ORDINAL.search(before[-_LONGEST_DOTTED:]) else End.ORDINAL


def _lettered(head: str, word: str, plain: End) -> End | None:
    dotted = _DOTTED.search(head[-_LONGEST_DOTTED:])
    short = "".join(dotted[0].split()) if dotted else word
    if short not in _NEVER_LAST and {short, short.lower()} & _MAYBE_LAST:
        return End.ABBREVIATION
    if dotted or {short, short.lower()} & _NEVER_LAST or short.endswith("str"):
        return None
    return End.ADDRESS if _ADDRESS.search(word) else plain


def is_end(end: End, follows: str, *, over: bool = False) -> bool | None:
    """Whether the sentence ends there, by the text that follows; None if that is too short to tell.
    `over`: no more text follows."""
    if end is End.SURE:
        return True
    word = re.search(r"[¿¡]|[^\W_]+", follows)
    if word is None:
        return None
    first = word[0][0]
    if first in "¿¡":
        return True
    if first.islower():
        return False
    if first.isdigit():
        return end in (End.CLOSED, End.TRAILING_OFF, End.ADDRESS)
    if end is not End.ORDINAL:
        return True
    if word.end() == len(follows) and not over:
        return None
    return word[0] not in _AFTER_ORDINAL
