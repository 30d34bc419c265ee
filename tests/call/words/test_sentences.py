"""The agent's text is cut into sentences, each as soon as it is whole."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.call.words.sentences import SentenceCutter


def cut(deltas: Iterable[str], longest: int = 300) -> list[str]:
    cutter = SentenceCutter(longest)
    pieces = [piece for delta in deltas for piece in cutter.feed(delta)]
    return pieces + cutter.finish()


ENGLISH = [
    "Hello.| How are you?| Fine!| Let's go.",
    "Dr. Smith sees Mrs. Jones at St. Mary's, e.g. today.| Fine?",
    "He moved to the U.S.| Next week J. R. Smith comes back.",
    "We close at 5 p.m. today.| At 5 p.m.| We close at 5 p.m. sharp, etc.| Anything else?",
    "Acme Inc. is open.| I work at Acme Inc.| You too?",
    "Your total is $4.50.| Would you like fries?",
    "Your total is $45.| Would you like fries?| It takes 1,000 or 3.5 or 12:30.| OK.",
    "Your table is booked for 7.| See you then.| It was 1990.| Then came 1991.",
    "Call +1 555. 0100 now.| Or 555.0100.| Thanks.",
    "It is No. 5.| No.| I mean No. 6.",
    '"Really?" she said.| "Yes."| He left.| (It was late.)| Done.',
    "We are open (yes, on Sunday too!) and waiting.| Come in!",
    "Well... let me see.| Hmm…| Yes.| So… maybe.",
    "What?!| No!!| Wait.",
    "Go to https://x.example/a?b=1.5!c.| Or mail jo.doe@x.example.| Or see www.x.example.| Bye.",
    "Hi.| Version 1.2.3 is at 10.0.0.1, in read.me.txt, from example.com.| Fine.",
    "**Hello.**| Next.| *Really?* she said.| <b>Yes.</b>| `No.`| Ok.",
    "**Note:** we close at noon.| **Hello.| World.**| Bye.",
    "We have:|\n- pizza|\n- pasta.| Fresh.|\n\n1. First thing.| Good.|\n2. Second",
    "Hi there!| 😊 How are you?",
    "Yes.| OK!| 5. That one.",
    "Is it 5?| It is 5!| Ok.",
    "One.|\r\nTwo.|\u2028Three.",
]
GERMAN = [
    "Guten Tag!| Am 3. Mai um 12:30 Uhr, z. B. im 2. Stock.| Passt das?",
    "Es kostet 1.000,50 Euro.| Das ist z.B. in der Hauptstr. 5, Nr. 3, d. h. beim Markt.| Gut.",
    "Äpfel, Birnen usw.| Danach Kaffee bzw. Tee.| Am Montag, 4. Juni.| Ja?",
    "Hr. Müller kommt am 10.05. um drei.| Fr. Maier kommt ca. 15 Min. später.| Gerne.",
    "„Wirklich?“ fragte sie.| „Ja.“| Gut.| Im 1. und 2. Stock.",
]
FRENCH = [
    "Bonjour !| Ça va ?| M. Dupont et Mme. Durand sont là.| À 12 h 30.",
    "«\u202fVraiment ?\u202f» dit-elle.| Le total est de 1\u202f000,50\u202f€.| Merci !",
]
SPANISH = [
    "A las 5 p. m.| ¿Le va bien?| La Sra. García y el Sr. López.| ¡Claro!",
    "¡Hola!| ¿Qué tal?| Cuesta 3,50 €.| Vale… de acuerdo.| Vale…| ¿Sí?",
]
CHINESE = [
    "你好！|很高兴为您服务。|请问您几位？|好的；|明天见。",
    "「可以。|」他说。|嗯……|我看看!|好的。|总共3.5元，12:30取。|价格是1.5万元。",
    "请访问 https://x.example/a.b?c。|或发邮件到 a.b@x.example。|谢谢！",
]
JAPANESE = [
    "はい。|かしこまりました。|3月5日の19：30でよろしいですか？|えーと…|そうですね。",
    "Wi-Fiは無料です！|ver.2.0です。|OK!|どうぞ。",
]


@pytest.mark.parametrize("story", [*ENGLISH, *GERMAN, *FRENCH, *SPANISH, *CHINESE, *JAPANESE])
def test_a_text_is_cut_between_sentences(story: str) -> None:
    pieces = story.split("|")
    text = "".join(pieces)
    assert cut([text]) == cut(text) == pieces


def test_each_line_of_a_table_is_a_piece() -> None:
    pieces = ["# Prices", "\n---\n| One | $5.00 |", "\n|---|---|\n| Two | $6.00 |"]
    assert cut("".join(pieces)) == pieces


def test_a_sentence_is_returned_with_the_delta_that_completes_it() -> None:
    cutter = SentenceCutter()
    assert [cutter.feed(each) for each in ("Sure", ".", " I", " can", "!", "\n", "Then")] == [
        *[[], [], ["Sure."], [], [], [" I can!"], []]
    ]
    assert cutter.feed("。") == ["\nThen。"]
    assert cutter.finish() == []


def test_a_cutter_is_ready_for_the_next_text() -> None:
    cutter = SentenceCutter()
    assert cutter.feed("Hello") + cutter.finish() == ["Hello"]
    assert cutter.feed("You. ") + cutter.finish() == ["You.", " "]
    assert cutter.feed("") + cutter.finish() == []


def test_a_run_without_words_joins_the_next_sentence_or_the_last_one() -> None:
    assert cut(["🎉 *** Hello."]) == ["🎉 *** Hello."]
    assert cut(["Bye at 7. Thanks"]) == ["Bye at 7.", " Thanks"]
    assert cut(["---\n\n- \n"]) == ["---\n\n- \n"]
    cutter = SentenceCutter()
    assert cutter.feed("Call Dr. No at 5. 👍") == [] and cutter.finish() == ["Call Dr. No at 5. 👍"]


# --- a sentence that may continue ----------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Sure.",
        "Really?",
        "Yes!",
        'He said "go."',
        "**Hello.**",
        "Bonjour !",
        "Hi!😊",
        "Go.» ",
        "„Ja.“",
    ],
)
def test_a_sentence_is_taken_when_nothing_follows_for_a_moment(text: str) -> None:
    cutter = SentenceCutter()
    assert cutter.feed(text) == [] and cutter.may_end
    assert cutter.take_sentence() == [text.rstrip()] and not cutter.may_end
    assert cutter.feed(" Next. ") == [text[len(text.rstrip()) :] + " Next."]


UNSURE = """Sure|Sure,|It is 3.|$4.|Dr.|e.|e.g.|at 5 p.m.|J.|etc.|No.|Wait...|Wait..|Hm…|https://x.
https://x.example/?|jo@x.|www.|x.example.|my_file.|1.|...|!|😊.|U.S.|z. B.|Am 3. |etc. |5?!.5.
(Yes.|"Go.|“Go!|« Oui.|„Ja."""


@pytest.mark.parametrize("text", ["", *UNSURE.replace("\n", "|").split("|")])
def test_a_number_an_address_or_a_quotation_that_may_continue_is_not_taken(text: str) -> None:
    cutter = SentenceCutter()
    cutter.feed(text)
    assert not cutter.may_end and cutter.take_sentence() == []
    assert "".join(cutter.finish()) == text


def test_a_taken_sentence_that_continues_loses_and_repeats_nothing() -> None:
    cutter = SentenceCutter()
    pieces = cutter.feed("See example.") + cutter.take_sentence()
    pieces += cutter.feed('com". Ok') + cutter.finish()
    assert pieces == ["See example.", 'com".', " Ok"]


# --- long sentences ------------------------------------------------------------------------------

LONG = "Sure, I can help you with that, and I will look it up right now, if you hold on"


def test_a_long_first_sentence_is_cut_at_the_end_of_a_clause() -> None:
    cutter = SentenceCutter()
    at = 60
    assert cutter.feed(LONG[:at]) == []
    assert cutter.feed(LONG[at]) == ["Sure, I can help you with that,"]
    assert cutter.feed(LONG[at + 1 :]) == []
    assert cutter.finish() == [LONG[31:]]


def test_later_sentences_are_not_cut_at_clauses() -> None:
    assert cut(["Hi. ", LONG, "."]) == ["Hi.", f" {LONG}."]


@pytest.mark.parametrize(
    "pieces",
    [
        ["您好，感谢您致电幸福餐厅，我是您的智能助理，", "请问今天有什么可以帮到您的吗？"],
        ["The restaurant is open every day of the week –", " but we close early on a Monday"],
        ["Our two cooks and the whole team—all of them—", "are waiting for you and your friends"],
        ["The table that you have asked for is free;", " please be there in time for dinner"],
        ["The number that you asked for is +49 30 555, 0100 or 12, 13, 14, 15 or 16 or 17"],
        ["The restaurant (open every day, as you may know, but Monday) is in the High Street"],
        [
            "Our prices are at https://x.example/a,b;c:d/prices,all,of,them,for,this,year,and,the,next"
        ],
        ["We are open from nine to five and from 10 – 12 or 10 - 12 on Sunday if you ask for it"],
        ["Between us, it all begins with a sentence without any clause for a long time"],
    ],
)
def test_a_first_sentence_is_cut_only_where_a_clause_ends(pieces: Sequence[str]) -> None:
    assert cut("".join(pieces)) == pieces


def test_a_piece_that_is_too_long_is_cut_at_a_clause_a_space_or_anywhere() -> None:
    clause = "Hi. " + "word " * 8 + "end, " + "word " * 10
    assert cut([clause], 80)[1] == " " + "word " * 8 + "end,"
    assert cut(["word " * 50], 80)[:2] == ["word " * 15 + "word", " word" * 16]
    assert [len(piece) for piece in cut(["x" * 200], 80)] == [80, 80, 40]
    assert [len(piece) for piece in cut(["字" * 200], 80)] == [80, 80, 40]
    assert cut(["字" * 75 + "1234567890"], 80) == ["字" * 75, "1234567890"]
    assert cut(["字" * 79 + "点，好"], 80) == ["字" * 79, "点，好"]
    assert cut(["Ok. " + "👍" * 79 + "👍🏽x"], 80)[1] == " " + "👍" * 79


# --- any text ------------------------------------------------------------------------------------

ATOMS = ["+1 555 0100", "1.000,50", "$4.50", "12:30", "1,000", "https://x.example/a.b?c=d,e;f"]
ATOMS += [
    "jo.doe@mail.example",
    "v1.2.3",
    "192.168.0.1",
    "Dr. Who",
    "J. Smith",
    "z. B. so",
    "No. 5",
]
ATOMS += ["am 3. Mai", "e.g. so", "3.5", "(030) 555-0100", "12345678901234567890"]
WORDS = [
    "yes",
    "Yes",
    "I",
    "am",
    "the",
    "Haus",
    "ñandú",
    "restaurant",
    "你好",
    "です",
    "5",
    "no",
    "Inc",
]
MARKS = [
    ".",
    "!",
    "?",
    "...",
    "…",
    ",",
    ";",
    ":",
    " –",
    "—",
    "。",
    "，",
    "！",
    '."',
    ".)",
    "**",
    ".**",
]
MARKS += [
    "\n",
    "\n- ",
    "\n1. ",
    " ",
    " (",
    '"',
    "😊",
    "👩‍❤️‍👨",
    "<b>",
    "`",
    "|",
    "\u202f",
    "\t",
    "「",
    "」",
]

talk = st.lists(st.sampled_from(ATOMS + WORDS + MARKS) | st.just(" "), max_size=60).map("".join)
texts = talk | st.text(max_size=200) | st.text("aA1.,!? \n。\"'*-", max_size=200)


@given(texts, st.lists(st.integers(1, 9), min_size=1), st.integers(1, 60) | st.just(300))
def test_the_pieces_are_the_text_whatever_the_deltas(
    text: str, sizes: list[int], longest: int
) -> None:
    deltas: list[str] = []
    rest = text
    while rest:
        size = sizes[len(deltas) % len(sizes)]
        deltas.append(rest[:size])
        rest = rest[size:]
    pieces = cut(deltas, longest)
    assert "".join(pieces) == text
    assert all(pieces) and all(len(piece) <= longest for piece in pieces)
    assert pieces == cut([text], longest)


@given(texts, st.lists(st.booleans(), min_size=1))
def test_nothing_is_lost_however_often_a_sentence_is_taken(text: str, takes: list[bool]) -> None:
    cutter, pieces = SentenceCutter(), []
    for number, character in enumerate(text):
        pieces += cutter.feed(character)
        if takes[number % len(takes)]:
            may_end = cutter.may_end
            taken = cutter.take_sentence()
            assert len(taken) == may_end
            pieces += taken
    assert "".join(pieces + cutter.finish()) == text


@given(texts)
def test_every_piece_but_the_last_contains_a_word(text: str) -> None:
    assert all(any(map(str.isalnum, piece)) for piece in cut([text])[:-1])


@given(st.lists(st.tuples(st.sampled_from(ATOMS + WORDS), st.sampled_from(MARKS)), max_size=50))
def test_no_number_and_no_address_is_ever_cut(said: list[tuple[str, str]]) -> None:
    text, whole = "Ok. ", []
    for word, mark in said:
        whole.append(range(len(text) + 1, len(text) + len(word)))
        text += f"{word}{mark} "
    at, cuts = 0, set()
    for piece in cut([text]):
        at += len(piece)
        cuts.add(at)
    assert not [text[each.start - 1 : each.stop] for each in whole if cuts.intersection(each)]


UNITS = ["a", "字", ".", '"', " ", "a.", '?" ', "<", ".>", "etc. -", "1. ", "(", "«. ", "7. A"]


@pytest.mark.parametrize("unit", UNITS)
def test_a_text_that_never_ends_costs_no_more_with_its_length(unit: str) -> None:
    text = unit * (40_000 // len(unit))
    cutter, size = SentenceCutter(), 0
    for character in text:
        size += sum(map(len, cutter.feed(character)))
        assert not (cutter.may_end and unit == "a")
    assert size + sum(map(len, cutter.finish())) == len(text)
