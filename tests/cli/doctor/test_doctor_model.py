"""What the doctor says of the model, after a real session with it."""

from pathlib import Path
from typing import Any

import pytest

from app.cli.doctor.check import Check
from app.cli.doctor.model import check_model
from app.cli.doctor.model_address import candidates
from app.simulator.realtime import Fault, Options, RealtimeServer, TranscriptionFailed, refusing
from tests.cli.doctor.scene import found, states, subject
from tests.ports import free_port

NAMES = ("model", "audio format", "transcription")


async def checks_of(server: RealtimeServer, folder: Path, agent: str = "") -> list[Check]:
    values = {"openai_api_key": "the right key", "openai_base_url": server.base_url}
    return await check_model(subject(folder, agent, **values))


async def test_a_good_model_is_tried_in_one_session_without_a_response(tmp_path: Path) -> None:
    async with RealtimeServer(options=Options(api_key="the right key")) as server:
        checks = await checks_of(server, tmp_path)

        assert states(checks) == dict.fromkeys(NAMES, "ok")
        [session] = server.sessions
        assert session.events_of("input_audio_buffer.commit")
        assert not session.events_of("response.create")


@pytest.mark.parametrize(
    ("status", "fix"),
    [(401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (404, "OPENAI_REALTIME_MODEL"),
     (429, "add credit"), (500, "status.openai.com")],
)  # fmt: skip
async def test_a_refused_handshake_is_explained(tmp_path: Path, status: int, fix: str) -> None:
    async with RealtimeServer() as server:
        server.fault = Fault(refuse_status=status)
        [check] = await checks_of(server, tmp_path)

    assert check.state == "fault" and str(status) in check.detail and fix in check.fix


async def test_a_wrong_key_is_explained(tmp_path: Path) -> None:
    async with RealtimeServer(options=Options(api_key="another key")) as server:
        [check] = await checks_of(server, tmp_path)

    assert check.state == "fault" and "OPENAI_API_KEY" in check.fix


@pytest.mark.parametrize(
    ("code", "message", "fix"),
    [
        ("insufficient_quota", "You exceeded your current quota.", "add credit"),
        ("model_not_found", "The model `gpt-x` does not exist.", "OPENAI_REALTIME_MODEL"),
        ("invalid_api_key", "Incorrect API key provided.", "OPENAI_API_KEY"),
    ],
)
async def test_an_error_after_the_handshake_is_explained(
    tmp_path: Path, code: str, message: str, fix: str
) -> None:
    def refuse(session: Any, event: dict[str, Any]) -> bool:
        session.send_error(code, message, event.get("event_id"))
        return True

    async with RealtimeServer() as server:
        server.fault = Fault(on={"session.update": refuse})
        [check] = await checks_of(server, tmp_path)

    assert check.state == "fault" and message.rstrip(".") in check.detail and fix in check.fix


async def test_a_model_that_cannot_be_reached_is_explained(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    [check] = await check_model(subject(tmp_path, openai_api_key="k", openai_base_url=url))

    assert check.state == "fault" and "OPENAI_BASE_URL" in check.fix


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("http://127.0.0.1:PORT", "http://127.0.0.1:PORT/v1"),
        ("ws://127.0.0.1:PORT", "ws://127.0.0.1:PORT/v1"),
        ("http://127.0.0.1:PORT/api", "http://127.0.0.1:PORT/v1"),
        ("http://127.0.0.1:PORT/v1/v1", "http://127.0.0.1:PORT/v1"),
        ("http://127.0.0.1:PORT/v1/realtime", "http://127.0.0.1:PORT/v1"),
        ("http://127.0.0.1:PORT/v1/chat/completions", "http://127.0.0.1:PORT/v1"),
        ("https://127.0.0.1:PORT/v1", "http://127.0.0.1:PORT/v1"),
    ],
)
async def test_a_base_url_with_another_path_than_meant_is_named_with_the_right_one(
    tmp_path: Path, given: str, meant: str
) -> None:
    async with RealtimeServer() as server:
        port = str(server.port)
        url = given.replace("PORT", port)
        [check] = await check_model(subject(tmp_path, openai_api_key="k", openai_base_url=url))

    assert check.state == "fault"
    assert check.fix.startswith(f"set OPENAI_BASE_URL to {meant.replace('PORT', port)},")


async def test_azures_path_is_found_too(tmp_path: Path) -> None:
    async with RealtimeServer(options=Options(api_version="preview")) as server:
        url = f"http://127.0.0.1:{server.port}"
        given = {"openai_api_headers": "api-key: k", "openai_api_query": "api-version=preview"}
        [check] = await check_model(subject(tmp_path, openai_base_url=url, **given))

    assert f"{url}/openai/v1," in check.fix


@pytest.mark.parametrize("url", ["https://models.example.com/v1", "wss://models.example.com/v1"])
def test_a_key_is_never_tried_without_tls_at_another_machine(url: str) -> None:
    assert all(each.startswith(url.partition(":")[0] + ":") for each in candidates(url))


async def test_a_model_without_a_telephones_audio_is_explained(tmp_path: Path) -> None:
    async with RealtimeServer() as server:
        server.fault = Fault(on={"session.update": refusing("audio.input.format")})
        checks = await checks_of(server, tmp_path)

    assert found(checks, "audio format").state == "fault"


async def test_every_refused_setting_is_named_by_its_key(tmp_path: Path) -> None:
    agent = '[voice]\nname = "cedar"\n[turns]\nnoise_reduction = "near_field"\n'
    async with RealtimeServer() as server:
        server.fault = Fault(
            on={
                "session.update": refusing("audio.output.voice", "audio.input.noise_reduction.type")
            }
        )
        checks = await checks_of(server, tmp_path, agent)

    refused = [each for each in checks if each.check == "model settings"]
    assert len(refused) == 2 and {each.state for each in refused} == {"warning"}
    assert "agent.toml" in refused[0].fix
    assert found(checks, "transcription").state == "ok"


async def test_a_transcription_model_that_is_refused_is_named(tmp_path: Path) -> None:
    async with RealtimeServer() as server:
        server.fault = Fault(on={"session.update": refusing("audio.input.transcription")})
        check = found(await checks_of(server, tmp_path), "transcription")

    assert check.state == "fault" and "gpt-transcribe" in check.fix


async def test_a_transcription_that_fails_is_named(tmp_path: Path) -> None:
    def fails(_ulaw: bytes) -> str:
        raise TranscriptionFailed("The project has no access to it.")

    async with RealtimeServer(transcribe=fails) as server:
        check = found(await checks_of(server, tmp_path), "transcription")

    assert check.state == "fault" and "does not work" in check.detail


async def test_a_transcription_that_is_off_is_not_tried(tmp_path: Path) -> None:
    async with RealtimeServer() as server:
        checks = await checks_of(server, tmp_path, '[transcription]\nmodel = ""\n')

    assert found(checks, "transcription").state == "ok"


async def test_without_a_key_the_embedded_model_is_named(tmp_path: Path) -> None:
    [check] = await check_model(subject(tmp_path))

    assert check.state == "warning" and "OPENAI_API_KEY" in check.fix
