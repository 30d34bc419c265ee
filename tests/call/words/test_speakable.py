"""No markup, emoji or code of the model's text is read out."""

from collections.abc import Iterable
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich._emoji_codes import EMOJI  # every emoji of Unicode: an outside list to check against

from app.call.words.sentences import SentenceCutter
from app.call.words.speakable import Cleaner, speakable

ADDRESSES = "Go to https://x.example/a_b or me@x.example."


def heard(deltas: Iterable[str]) -> list[str]:
    """What reaches the voice of a text that streams in."""
    cutter, cleaner = SentenceCutter(), Cleaner()
    pieces = [piece for delta in deltas for piece in cutter.feed(delta)]
    said = [cleaner.clean(piece) for piece in pieces + cutter.finish()]
    return [text for text in said if text]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("**Hello** *there*, __dear__ _caller_.", "Hello there, dear caller."),
        ("***Both***, ~~gone~~, `code`, ``more ` code``.", "Both, gone, code, more code."),
        ("**Note:** we *really*, re*al*ly mean it**.**", "Note: we really, really mean it."),
        ("# Prices", "Prices"),
        ("### Prices and hours ###", "Prices and hours"),
        ("- One pizza", "One pizza"),
        ("  * [x] **One** pizza", "One pizza"),
        ("\n+ One\n+ Two\n• Three", "One Two Three"),
        ("1. First\n2) Second", "1. First 2) Second"),
        ("> She said\n>> so", "She said so"),
        ("See [our **menu**](https://x.example/a_(b) 'Menu').", "See our menu."),
        ("See [our menu][1] and [this][] one[^2].", "See our menu and this one."),
        ("![A map](m.png) and [![a cat](c.png)](https://x.example)", "A map and a cat"),
        ("Go to <https://x.example/a_b> or <me@x.example>.", ADDRESSES),
        ("[1]: https://x.example/a\nYes.", "Yes."),
        ("| Size | Price |\n|:---|---:|\n| Large | $9 |", "Size, Price Large, $9"),
        ("One\n---\nTwo\n===\n***\nThree\n_ _ _", "One Two Three"),
        ("H<sub>2</sub>O,<br/>then <b class='x'>more</b><!-- not this -->.", "H2O, then more."),
        (r"5 \* 3, \#1 \[sic\] \> 2 and a\_b", "5 * 3, #1 [sic] > 2 and a_b"),
        ("Fish &amp; chips &lt; $5,&nbsp;it&#39;s", "Fish & chips < $5, it's"),
        ("Yes:\n```python\nprint('no')\n```\nThat.", "Yes: That."),
        ("~~~\nno\n```\nno\n~~~\nyes", "yes"),
        ("```\nno line closes this", ""),
        ("```all on a line``` and more", "all on a line and more"),
    ],
)
def test_markdown_is_not_read_out(written: str, said: str) -> None:
    assert speakable(written) == said


PLAIN = """5 * 3 = 15|5*3|snake_case|press * or #|press *.|dial *67 now, or *82|#1|C# and C++
a_b@x.example|a__b|1 < 2 > 0|a<b and c>d|R&B|it's Bob's “thing”|-5 °C or +3|+1 (555) 010-0100
~5 minutes|$4.50, 3,50 €, 12:30|50 %|Well... yes|and/or|3–4 or so – maybe|"quoted" (here)|[sic]
No.|1. First|C:\\new|https://x.example/a_b/_c?d=~e#f|www.x.example/__init__.py|jo_doe_@x.example
>= 5|x^2|您好，请问几位？|はい、かしこまりました。|안녕하세요.|Привет, ёж!|Ünïcödé ñandú ça cœur
© 2026 Acme™|مرحبا بك، كيف حالك؟|שלום, מה שלומך?|नमस्ते, आप कैसे हैं?|สวัสดีครับ|e\u0301te\u0301"""


@pytest.mark.parametrize("text", PLAIN.replace("\n", "|").split("|"))
def test_text_without_markdown_stays_as_it_is(text: str) -> None:
    assert speakable(text) == text


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Great! 😊 Thanks 👍🏽.", "Great! Thanks."),
        ("Great😊thanks", "Great thanks"),
        ("👩‍❤️‍💋‍👨 A kiss 🏴󠁧󠁢󠁥󠁮󠁧󠁿 and 🇩🇪🇫🇷 flags", "A kiss and flags"),
        ("Press 1️⃣, *️⃣ or #️⃣.", "Press 1, * or #."),
        ("1️⃣2️⃣3⃣", "123"),
        ("No way‼️ Really⁉ ©️ ❤️ ❤ ✅ → ★ ▶️ ⌚ Ⓜ️ ㊗️ 〰️", "No way! Really?"),
        (
            "a\u200bb\u200dc\u2060d\ufeffe\u00adf\u200eg\x00h\x1bi\x7fj\ud800k\ue000l",
            "abcdefghijkl",
        ),
        ("\u200f", ""),
        ("a \u00a0\u202f\u3000\t\n\r\n b\u2028c", "a b c"),
    ],
)
def test_emoji_and_invisible_characters_are_not_read_out(written: str, said: str) -> None:
    assert speakable(written) == said


def test_no_emoji_of_unicode_is_read_out() -> None:
    signs = {"©", "®", "™", "ℹ", "‼", "⁉"}  # text by themselves, pictures with U+FE0F
    for emoji in EMOJI.values():
        if emoji not in signs and not emoji[0].isascii():
            assert speakable(f"so {emoji} so") == "so so", ascii(emoji)
            assert speakable(f"so{emoji}.") == "so.", ascii(emoji)
            assert speakable(f"{emoji}\ufe0f") == "", ascii(emoji)


@pytest.mark.parametrize(
    "written", ["", " \n", "**", "---", "- ", "...", "?!", "😊", "|---|", "“”。", "<br>"]
)
def test_a_text_without_words_is_not_read_out(written: str) -> None:
    assert speakable(written) == ""


# --- pieces of a text ----------------------------------------------------------------------------


def test_markers_whose_other_half_is_in_another_sentence_are_not_read_out() -> None:
    assert heard("**Hello. World**") == ["Hello.", "World"]
    assert heard("*Hello. World* _and. More_ `so. on`.") == [
        "Hello.",
        "World and.",
        "More so.",
        "on.",
    ]
    assert heard("See [our menu. It](https://x.example) is new.") == ["See our menu.", "It is new."]
    assert heard("<b>Hello. World</b> ~~yes. no~~") == ["Hello.", "World yes.", "no"]


def test_punctuation_left_over_from_the_sentence_before_is_removed() -> None:
    assert heard("「好的。」他说。真的？！是。") == ["「好的。", "他说。", "真的？", "是。"]
    cleaner = Cleaner()
    assert [cleaner.clean(each) for each in ("Well.", ".. so", ") Yes")] == ["Well.", "so", "Yes"]


def test_a_marker_of_a_list_or_heading_counts_only_where_a_line_begins() -> None:
    keys = "Yes. # ends the call. * repeats. > is not used. - Or so."
    assert heard(keys) == ["Yes.", "# ends the call.", "* repeats.", "> is not used.", "- Or so."]
    assert heard("# Yes.\n- So.\n> Or so.") == ["Yes.", "So.", "Or so."]


def test_a_code_block_is_skipped_across_pieces() -> None:
    text = "Here. It is:\n\n```json\n{'a': 'Hello. World'}\nSo. On\n```\nDone. Ok?\n~~~\nx\n~~~\n"
    assert heard(text) == heard([text]) == ["Here.", "It is:", "Done.", "Ok?"]
    assert heard("```\none\n\n``\ntwo\n````\nthree") == ["three"]


def test_a_typical_answer_of_a_model_is_read_out_as_plain_sentences() -> None:
    answer = """Sure! 😊 Here's what we have **today**:

    1. **Margherita** – $9.50
    2. *Diavola* (hot 🌶️) – $11

    | Size | Extra |
    |------|-------|
    | Large | $2.00 |

    See [the menu](https://x.example/menu), or ask **Dr. Oetker**. Shall I order?"""
    assert heard(answer) == [
        "Sure!",
        "Here's what we have today:",
        "1. Margherita – $9.50",
        "2. Diavola (hot) – $11",
        "Size, Extra",
        "Large, $2.00",
        "See the menu, or ask Dr. Oetker.",
        "Shall I order?",
    ]


# --- any text ------------------------------------------------------------------------------------

MARKUP = [
    "*",
    "**",
    "_",
    "__",
    "`",
    "```",
    "~~",
    "~~~",
    "#",
    "##",
    "- ",
    "+ ",
    "* ",
    "1. ",
    "> ",
    ">",
]
MARKUP += [
    "|",
    "---",
    "[",
    "]",
    "](",
    "(",
    ")",
    "![",
    "<b>",
    "</b>",
    "<",
    "\\",
    "&amp;",
    "&lt;",
    "<!--",
]
MARKUP += [
    "-->",
    "[^1]",
    "[a]: /b",
    "https://x.example/a_b ",
    "me_@x.example ",
    "\n",
    "\n\n",
    " ",
    ":",
    ".",
]
PICTURES = ["😊", "👍🏽", "👩‍❤️‍👨", "🇩🇪", "1️⃣", "©️", "\ufe0f", "\u20e3", "\u200d", "‼️", "→"]
WORDS = ["yes", "No", "5", "67", "你好", "é", "a", "x_y", "，", "」"]

texts = st.lists(st.sampled_from(MARKUP + PICTURES + WORDS), max_size=40).map("".join) | st.text()


@given(texts)
def test_cleaning_a_clean_text_changes_nothing(text: str) -> None:
    said = speakable(text)
    assert speakable(said) == said == " ".join(said.split())
    assert not said or any(map(str.isalnum, said))


@given(texts, st.booleans())
def test_no_marker_and_no_emoji_is_ever_read_out(text: str, is_stream: bool) -> None:
    for said in heard(text) if is_stream else [speakable(text)]:
        bare = said.replace("https://x.example/a_b", "").replace("me_@x.example", "")
        for marker in ("**", "`", "~~~", "](", "<b>", "</b>", "```", "[^1]", *PICTURES):
            assert marker not in bare or marker in ("1️⃣", "©️")
        unseen = ("Cc", "Cs", "Co", "Zl", "Zp")
        assert not [each for each in said if category(each) in unseen or each in "\u200d\ufe0f"]
        said.encode()


@given(texts)
def test_cleaning_adds_no_letters(text: str) -> None:
    letters = [character for character in text if character.isalnum()]
    rest = iter(letters)
    assert all(character in rest for character in speakable(text) if character.isalnum())


UNITS = [
    "[",
    "]",
    "](",
    "[a](",
    "*",
    "_",
    "`",
    "~",
    "<",
    "<a ",
    '<a x="',
    "<b>",
    "&",
    "&amp;",
    "\\",
]
UNITS += [
    "|",
    "> ",
    "# ",
    "- ",
    "- , ",
    " ",
    "😊",
    ".",
    "a@",
    "a.",
    "<!--",
    "_a",
    "*5 ",
    "http://",
    "x",
]


@pytest.mark.parametrize("unit", UNITS)
def test_a_long_text_full_of_markers_takes_no_longer(unit: str) -> None:
    for text in (unit * (20_000 // len(unit)), unit * (20_000 // len(unit)) + "x"):
        assert len(speakable(text)) <= len(text)
