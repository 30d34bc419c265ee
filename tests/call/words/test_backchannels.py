"""What listeners say without meaning to interrupt, in the languages of the file."""

import pytest

from app.call.words.backchannels import is_backchannel, normalized
from app.config.agent.backchannels import known_backchannels


def known(language: str) -> set[str]:
    return set(map(normalized, known_backchannels(language)))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Mm-hmm."), ("en", "Oh, okay. Yeah."), ("en", "Hahaha!"), ("en", "[laughs] Right."),
        ("de", "Ja, ja, genau."), ("fr", "D’accord."), ("hi", "हाँ जी।"), ("hi", "अच्छा, ठीक है।"),
        ("th", "ใช่ครับ"), ("th", "ค่ะ ค่ะ"), ("zh", "嗯，好的好的。"), ("ja", "うーん、そうですか。"),
        ("ar", "حسنًا"), ("vi", "Vâng, đúng rồi."), ("en", "👍️"),
    ],
)  # fmt: skip
def test_it_is_a_backchannel(language: str, text: str) -> None:
    assert is_backchannel(text, known(language))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "No."), ("en", "Okay, but wait."), ("de", "Nein, stopp."), ("fr", "Non."),
        # The vowels of these scripts are marks: they tell words apart.
        ("hi", "जा।"), ("hi", "नहीं"), ("hi", "हो"), ("hi", "रुको"),
        ("th", "ไม่ใช่ครับ"), ("th", "หยุด"), ("th", "ได้ไหม"), ("zh", "不好"), ("ja", "はい、でも"),
    ],
)  # fmt: skip
def test_it_is_none(language: str, text: str) -> None:
    assert not is_backchannel(text, known(language))
