"""The grammar: phrases are parsed, and words are matched with them."""

import pytest

from app.simulator.receptionist.grammar import FIRST_NAMES, Grammar, Heard, PhraseError, spoken_form

ORDER = "[please] {number} {size:small|extra large} {pizza:Margherita|Quattro Stagioni} for {name}"


def understood(phrase: str, said: str, *names: str) -> Heard | None:
    return Grammar([phrase], names=names).understand(said.split())


def test_slots_have_the_written_form() -> None:
    heard = understood(ORDER, "twelve extra large quattro stagioni for anne marie", "Anne-Marie")
    assert heard == Heard(
        "12 extra large Quattro Stagioni for Anne-Marie.",
        ORDER,
        {"number": "12", "size": "extra large", "pizza": "Quattro Stagioni", "name": "Anne-Marie"},
    )


def test_words_in_brackets_are_optional() -> None:
    phrase = "hello [my dear] friend"
    for said, text in (
        ("hello friend", "Hello friend."),
        ("hello my dear friend", "Hello my dear friend."),
    ):
        heard = understood(phrase, said)
        assert heard is not None
        assert (heard.phrase, heard.text) == (phrase, text)
    assert understood(phrase, "hello dear friend") is None


@pytest.mark.parametrize(
    ("phrase", "said", "text"),
    [
        ("what time is it", "what time is it", "What time is it?"),
        ("i think i know", "i think i know", "I think I know."),
        ("Can I have the E-mail", "can i have the e mail", "Can I have the E-mail?"),
        ("my number is {digits}", "my number is double five five one two three four",
         "My number is 555 1234."),
        ("I’d like to go", "i'd like to go", "I’d like to go."),
    ],
)  # fmt: skip
def test_the_text_has_capitals_and_punctuation(phrase: str, said: str, text: str) -> None:
    heard = understood(phrase, said)
    assert heard is not None
    assert heard.text == text


def test_digits_match_3_to_12_digits() -> None:
    assert understood("it is {digits}", "it is one two") is None
    assert understood("it is {digits}", "it is " + "one " * 13) is None
    heard = understood("it is {digits}", "it is oh one triple two")
    assert heard is not None
    assert heard.slots == {"digits": "01222"}


def test_the_first_phrase_that_matches_counts() -> None:
    grammar = Grammar(["thank you [goodbye]", "thank you goodbye", "thank you"])
    heard = grammar.understand(["thank", "you"])
    assert heard is not None
    assert heard.phrase == "thank you [goodbye]"


def test_common_names_match_beside_given_ones() -> None:
    for name in ("Siobhan", FIRST_NAMES[0], FIRST_NAMES[-1]):
        heard = understood("this is {name}", f"this is {name.lower()}", "Siobhan")
        assert heard is not None
        assert heard.slots == {"name": name}
    assert understood("this is {name}", "this is unknown", "Siobhan") is None


def test_a_given_name_has_more_weight_than_a_common_one() -> None:
    common = FIRST_NAMES[0].lower()
    arcs, _ = Grammar(["this is {name}"], names=["Siobhan"]).graph()
    weights = {arc.word: arc.weight for arc in arcs}
    assert weights["siobhan"] > weights[common]
    alone = {arc.word: arc.weight for arc in Grammar(["this is {name}"]).graph()[0]}
    assert alone[common] == alone[FIRST_NAMES[1].lower()] == 1.0


def test_a_keyword_matches_in_any_sentence() -> None:
    grammar = Grammar(["what is on the menu"], keywords=["opening hours", "menu"])
    heard = grammar.understand("could you tell me your opening hours".split())
    assert heard is not None
    assert (heard.phrase, heard.slots) == ("opening hours", {})
    exact = grammar.understand("what is on the menu".split())
    assert exact is not None
    assert exact.phrase == "what is on the menu"
    assert grammar.understand("could you tell me your opening".split()) is None


def test_the_first_keyword_of_the_grammar_wins() -> None:
    grammar = Grammar([], keywords=["menu", "goodbye"])
    heard = grammar.understand("tell me goodbye menu".split())
    assert heard is not None
    assert heard.phrase == "menu"


@pytest.mark.parametrize(
    ("phrase", "wrong"),
    [
        ("i want {pizza}", "unknown slot {pizza}"),
        ("i want {name:a|b}", "unknown slot"),
        ("i want {size:a||b}", "no words"),
        ("{name} and {name}", "twice"),
        ("hello [there", "other half"),
        ("hello {name", "other half"),
        ("", "no words"),
    ],
)
def test_an_invalid_phrase_is_refused(phrase: str, wrong: str) -> None:
    with pytest.raises(PhraseError, match=wrong.replace("{", r"\{")):
        Grammar([phrase])


def test_a_keyword_without_words_is_refused() -> None:
    with pytest.raises(PhraseError, match="keyword"):
        Grammar([], keywords=[" - "])


def test_words_are_looked_up_in_lower_case_with_hyphens_apart() -> None:
    assert spoken_form("  Anne-Marie’s  Pizza ") == "anne marie's pizza"
