"""Volcengine's errors: their kinds, and that their messages reveal no secret."""

import json

import pytest

from app.wires.voices.volcengine.errors import code_in, handshake_error, service_error

KINDS = {
    "passing": [3003, 3005, 3006, 3030, 3031, 3032, 3040, 3999, 0, 45000292, 55000000, 55000001],
    "text": [3010, 3011, 40402003, 45002001],
    "fatal": [3001, 3050, 45000000, 45000001, 45999999],
}


@pytest.mark.parametrize(("kind", "codes"), KINDS.items())
def test_every_code_has_a_kind(kind: str, codes: list[int]) -> None:
    for code in codes:
        refused = service_error(code, "whatever", private=())
        assert (refused.kind, refused.code) == (kind, code)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("quota exceeded for types: concurrency", "passing"),
        ("quota exceeded for types: text_words_lifetime", "fatal"),
        ("authenticate request: load grant: requested grant not found", "fatal"),
        ("get resource id: access denied", "fatal"),
        ("Init Engine Instance failed", "fatal"),
        ("illegal input text!", "text"),
        ("resource ID is mismatched with speaker related resource", "fatal"),
        ("quota", None),
    ],
)
def test_a_message_takes_precedence_over_its_code(message: str, kind: str | None) -> None:
    for code, otherwise in ((3031, "passing"), (3001, "fatal"), (45000000, "fatal")):
        for raw in (message, json.dumps({"message": message, "code": code})):
            assert service_error(code, raw, private=()).kind == (kind or otherwise)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "fatal"), (401, "fatal"), (403, "fatal"), (404, "fatal"), (302, "fatal")]
    + [(408, "passing"), (429, "passing"), (500, "passing"), (503, "passing")],
)
def test_every_handshake_status_has_a_kind(status: int, kind: str) -> None:
    assert handshake_error(status, "", private=()).kind == kind


def test_a_403_for_too_many_requests_is_passing() -> None:
    body = json.dumps({"error": "quota exceeded for types: concurrency"})
    assert handshake_error(403, body, private=()).kind == "passing"


REFUSALS = [
    (401, "load grant: requested grant not found in SaaS storage", "VOLCENGINE_ACCESS_TOKEN"),
    (401, "Invalid X-Api-Key", "check VOLCENGINE_API_KEY"),
    (401, "access token is expired", "renew VOLCENGINE_ACCESS_TOKEN"),
    (403, "[resource_id=seed-tts-2.0] requested resource not granted", "check resource_id"),
    (400, "no X-Api-Resource-Id", "check resource_id"),
    (403, "the account is overdue", "unpaid bills"),
    (
        45000000,
        "speaker permission denied: get resource id: access denied",
        "not bought this voice",
    ),
    (45000001, "speaker not found", "check name"),
    (55000000, "resource ID is mismatched with speaker related resource", "check resource_id"),
    (45000001, "invalid sample_rate", "check sample_rate"),
    (45000001, "model seed-tts-9 is invalid", "check model"),
    (3001, "invalid speed_ratio", "check speed"),
    (3001, "invalid cluster", "check cluster"),
    (3001, "invalid appid", "check VOLCENGINE_APP_ID"),
    (3001, "quota exceeded for types: text_words_lifetime", "quota is used up"),
    (3001, "Fail to feed text, reason Init Engine Instance failed", "check cluster"),
    (3050, "", "check name"),
]


@pytest.mark.parametrize(("code", "message", "told"), REFUSALS)
def test_a_refusal_names_what_was_refused_and_what_to_change(
    code: int, message: str, told: str
) -> None:
    bodies = [
        message,
        json.dumps({"message": message}),
        json.dumps({"header": {"message": message}}),
    ]
    for raw in bodies:
        error = (
            handshake_error(code, raw, private=("s3cret",))
            if code < 1000
            else service_error(code, raw, private=("s3cret",))
        )
        assert (error.kind, told in str(error)) == ("fatal", True), error
        assert "credentials" not in str(error) or "VOLCENGINE" in told


def test_a_code_in_a_handshakes_body_says_what_was_refused() -> None:
    body = json.dumps({"header": {"code": 45000030, "message": "forbidden"}})
    assert "check resource_id" in str(handshake_error(403, body, private=()))


def test_a_text_that_a_message_quotes_is_not_read_as_a_refusal() -> None:
    text = "Your access token is expired."
    error = service_error(3031, f"processing error: {text}", private=(text,))
    assert (error.kind, str(error)) == ("passing", "volcengine: the service failed (code 3031)")


def test_an_error_has_the_ids_for_support() -> None:
    text = str(
        service_error(3050, "no voice", private=("secret",), logid="L1", reqid="R1", session="")
    )
    assert text == (
        "volcengine: there is no such voice; check name, which is the voice_type "
        "(code 3050, 'no voice', logid L1, reqid R1)"
    )


@pytest.mark.parametrize(
    "raw",
    [
        "bad text: Hello there",
        "token s3cret-t0ken is wrong",
        json.dumps({"message": "in Hello there, caller"}),
        json.dumps({"request": "Hello there"}),
        r"broken json {\u0048ello there",
    ],
)
def test_a_message_with_a_secret_is_not_quoted(raw: str) -> None:
    text = str(service_error(3031, raw, private=("Hello there, caller.", "s3cret-t0ken")))
    assert text == "volcengine: the service failed (code 3031)"


def test_a_quoted_message_is_one_short_line() -> None:
    text = str(service_error(3031, "bad\n\tluck " + "x" * 999, private=("",)))
    assert "'bad luck xxx" in text
    assert len(text) < 300


@pytest.mark.parametrize("raw", ["", "[", "[]", "7", '{"code":"3001"}', "[" * 100_000])
def test_a_body_without_a_code_gives_0(raw: str) -> None:
    assert code_in(raw) == 0
