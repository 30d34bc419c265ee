"""Pronunciations of words that the dictionary lacks: from espeak-ng, in the phones of CMUdict.

Names and dishes are often foreign. Callers read them the English way or as they are written, so a
word gets a pronunciation for each.
"""

from collections.abc import Iterator

from app.simulator.speech import phonemes

# A phoneme as espeak-ng writes it, and the phones of the acoustic model.
_ARPABET = {
    "aɪə": "AY ER",
    "aɪɚ": "AY ER",
    "aʊɚ": "AW ER",
    "tʃ": "CH",
    "dʒ": "JH",
    "aɪ": "AY",
    "aʊ": "AW",
    "eɪ": "EY",
    "oʊ": "OW",
    "əʊ": "OW",
    "ɔɪ": "OY",
    "ɑːɹ": "AA R",
    "ɔːɹ": "AO R",
    "oːɹ": "AO R",
    "ɛɹ": "EH R",
    "ɪɹ": "IH R",
    "ʊɹ": "UH R",
    "eə": "EH R",
    "ɪə": "IY ER",
    "iə": "IY AH",
    "ʊə": "UH R",
    "əl": "AH L",
    "n̩": "AH N",
    "m̩": "AH M",
    "l̩": "AH L",
    "ts": "T S",
    "dz": "D Z",
    "b": "B",
    "d": "D",
    "ð": "DH",
    "f": "F",
    "ɡ": "G",
    "g": "G",
    "h": "HH",
    "x": "K",
    "ç": "HH",
    "j": "Y",
    "k": "K",
    "l": "L",
    "ɫ": "L",
    "m": "M",
    "n": "N",
    "ŋ": "NG",
    "ɲ": "N Y",
    "ʎ": "L Y",
    "p": "P",
    "ɹ": "R",
    "r": "R",
    "ɾ": "R",
    "ʁ": "R",
    "s": "S",
    "ʃ": "SH",
    "t": "T",
    "ʔ": "T",
    "θ": "TH",
    "v": "V",
    "w": "W",
    "z": "Z",
    "ʒ": "ZH",
    "a": "AA",
    "ɑ": "AA",
    "ɐ": "AH",
    "æ": "AE",
    "ʌ": "AH",
    "ə": "AH",
    "ɚ": "ER",
    "ɜ": "ER",
    "ɔ": "AO",
    "ɒ": "AA",
    "e": "EY",
    "ɛ": "EH",
    "i": "IY",
    "ɪ": "IH",
    "o": "OW",
    "u": "UW",
    "ʊ": "UH",
    "y": "UW",
    "ø": "ER",
    "œ": "ER",
}
_LONGEST = max(map(len, _ARPABET))
_UNHEARD = str.maketrans("", "", "ˈˌːˑ ")  # stress and length: the acoustic model knows neither
_VOICES = ("en-us", "it")


def pronunciations(word: str) -> list[str]:
    """The pronunciations of a word: phones of CMUdict, separated by spaces. Empty if espeak-ng
    cannot say the word.

    Raises SpeechUnavailable: the extra `demo` is not installed.
    """
    found: dict[str, None] = {}
    for voice in _VOICES:
        phones: list[str] = []
        for sound in phonemes(word, voice=voice):
            # The flap, the American t of water: the dictionary writes it as T.
            phones += _phones(sound.replace("ɾ", "t") if voice == "en-us" else sound)
        if phones:
            found[" ".join(phones)] = None
    return list(found)


def _phones(sound: str) -> Iterator[str]:
    sound = sound.translate(_UNHEARD)
    while sound:
        known = next((sound[:n] for n in range(_LONGEST, 0, -1) if sound[:n] in _ARPABET), "")
        if known:
            yield _ARPABET[known]
        sound = sound[len(known) or 1 :]
