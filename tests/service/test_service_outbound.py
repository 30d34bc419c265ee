"""Calls that we place, from the order to the record: who answers, who does not, and machines."""

import asyncio
from base64 import b64decode
from typing import Any

import pytest

from app.simulator.realtime import RealtimeServer, Reply, Turn
from app.simulator.twilio import Callee, CallEnded, Fault, OutgoingCall
from tests.service.api import ANN, OURS, api, place
from tests.service.raw_twilio import call_form, raw_stream, request
from tests.service.twiml_check import check_twiml
from tests.service.world import ACCOUNT_SID, AGENT, PUBLIC_URL, World, names, noise, world

INF = float("inf")
HELLO = Reply("Hello.", audio=noise(60, "hello"), speed=INF)
MESSAGE = Reply("Please call us back.", audio=noise(400, "message"), speed=INF)
ANSWER = Reply("Your table is ready.", audio=noise(60, "answer"), speed=INF)
RINGS_ON = {"ring_scale": 1}  # as long as a test takes
CALLING = AGENT + '[outbound]\ngreeting = "Ann?"\nvoicemail = "Call us back, please."\n'


class Agent:
    """What the model says: to whoever answers, to a machine, and to what is said to it."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []

    def brain(self, turn: Turn) -> Reply:
        self.turns.append(turn)
        if "answering machine" in turn.instructions:
            return MESSAGE
        return HELLO if "first time" in turn.instructions else ANSWER


def calling(agent: Agent | None = None, file: str = CALLING, **more: Any) -> Any:
    """A world that calls people."""
    settings = {"twilio_phone_number": OURS, "outbound_repeat_seconds": 0, **more}
    settings["line"] = {"ring_scale": 0.002, **settings.get("line", {})}
    return world(RealtimeServer((agent or Agent()).brain), agent=file, **settings)


async def over(w: World, call: OutgoingCall) -> dict[str, Any]:
    """Wait for the end of a call: its record. Every TwiML of it was Twilio's."""
    await call.wait_ended()
    await w.settled()
    for document in call.twiml_history:
        check_twiml(document)
    assert call.error_codes in ([], [31921])
    return await w.record(call.call_sid)


def live_calls(w: World) -> int:
    """How many calls that we placed are not over."""
    return w.state.outbound.live_calls


async def no_call_left(w: World) -> None:
    """Wait until no call that we placed is left: its record is closed first."""
    freed = asyncio.Event()
    w.switchboard.on_call_ended.append(lambda _: freed.set())
    if live_calls(w):
        await freed.wait()


async def detected(call: OutgoingCall) -> None:
    """Wait until the service was told who answered."""
    await call.wait_for(lambda: any("/answering-machine/" in r.url for r in call.requests))


# --- the callee answers ---------------------------------------------------------------------------


async def test_whoever_answers_talks_with_the_agent_about_what_the_call_is_for() -> None:
    agent = Agent()
    async with calling(agent) as w:
        w.line.callees[ANN] = Callee(answers_after_ms=20)
        told = await place(w, greeting="Hello Ann.", context="Her table for two is ready.")
        call = await w.line.outbound()
        assert (told.status, told.body) == (201, {"call_sid": call.call_sid})
        assert told.headers["Location"] == f"/calls/{call.call_sid}"
        here = await api(w, "GET", told.headers["Location"])
        assert (here.status, here.body["direction"], here.body["to"]) == (200, "outbound-api", ANN)

        await call.wait_connected()
        await call.wait_quiet()
        assert call.heard == HELLO.audio
        session = await w.model.session()
        assert "Her table for two is ready." in session.config["instructions"]
        assert agent.turns[0].instructions.endswith(": Hello Ann.")
        await detected(call)

        session.start_speech()
        session.stop_speech("Is my table ready?")
        await call.wait_heard(len(HELLO.audio or b"") + len(ANSWER.audio or b""))
        call.hang_up()
        record = await over(w, call)

    assert (record["status"], record["direction"]) == ("completed", "outbound-api")
    assert (record["from"], record["to"]) == (OURS, ANN)
    assert (record["answered_by"], record["ended_by"]) == ("human", "caller")
    assert [(turn["role"], turn["text"]) for turn in record["transcript"]] == [
        ("assistant", "Hello."),
        ("user", "Is my table ready?"),
        ("assistant", "Your table is ready."),
    ]
    assert record["duration_s"] > 0 and len(w.model.sessions) == 1


@pytest.mark.parametrize("greeting", ["", "\x85 \u200b"])
async def test_the_agent_file_has_a_greeting_for_outbound_calls(greeting: str) -> None:
    agent = Agent()
    async with calling(agent) as w:
        await place(w, greeting=greeting)
        call = await w.line.outbound()
        await call.wait_quiet()
        call.hang_up()
        await over(w, call)
        inbound = await w.connected()
        await inbound.wait_quiet()

    assert [turn.instructions.rpartition(": ")[2] for turn in agent.turns] == ["Ann?", "Hello."]


@pytest.mark.parametrize("goes", ["busy", "no-answer", "failed"])
async def test_a_call_that_is_not_answered_opens_no_session(goes: str) -> None:
    async with calling(outbound_max_calls=1) as w:
        w.line.callees[ANN] = Callee(goes, answers_after_ms=5)
        told = await place(w)
        call = await w.line.outbound()
        record = await over(w, call)

        assert (told.status, record["status"], record["direction"]) == (201, goes, "outbound-api")
        assert (record["started_at"], record["transcript"], record["answered_by"]) == (
            None,
            [],
            None,
        )
        assert not w.model.handshakes
        await no_call_left(w)
        assert (await place(w)).status == 201  # its place is free again
        await over(w, await w.line.outbound(2))


async def test_a_call_that_rings_is_hung_up_by_the_api() -> None:
    async with calling(line=RINGS_ON) as w:
        w.line.callees[ANN] = Callee("no-answer")
        told = await place(w)
        call = await w.line.outbound()
        await call.wait_for(lambda: call.status == "ringing")
        hung_up = await api(w, "POST", f"/calls/{told.body['call_sid']}/hangup")
        record = await over(w, call)

        assert (hung_up.status, hung_up.body) == (202, told.body)
        assert record["status"] == call.status == "canceled"
        assert not w.model.handshakes
        again = await api(w, "POST", f"/calls/{call.call_sid}/hangup")
        assert (again.status, again.detail) == (409, "the call has ended")


# --- machines -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
async def test_a_voicemail_keeps_the_whole_message_and_then_the_line_is_cut(seed: int) -> None:
    """What is said over the machine's greeting does not count: the message follows the beep."""
    agent = Agent()
    async with calling(agent) as w:
        greeting = noise(300, f"machine {seed}")
        w.line.callees[ANN] = Callee(machine=True, greeting=greeting, greeting_ms=300 + 70 * seed)
        await place(w, voicemail="Ann, call us back.")
        call = await w.line.outbound()
        record = await over(w, call)

    assert call.recorded.endswith(MESSAGE.audio or b"")
    asked = [turn.instructions for turn in agent.turns if "machine" in turn.instructions]
    assert all(each.endswith(": Ann, call us back.") for each in asked)
    assert (record["status"], record["answered_by"]) == ("completed", "machine_end_beep")
    assert record["ended_by"] == "voicemail"
    last = [turn for turn in record["transcript"] if turn["role"] == "assistant"][-1]
    assert (last["text"], last["cut"]) == (MESSAGE.text, False)
    assert [r.form.get("Status") for r in w.line.rest_requests] == [None, "completed"]


async def test_the_agent_file_has_a_message_for_machines() -> None:
    agent = Agent()
    async with calling(agent) as w:
        w.line.callees[ANN] = Callee(machine=True)
        await place(w)
        call = await w.line.outbound()
        await over(w, call)

    greeted, message = call.recorded[: -len(MESSAGE.audio or b"")], MESSAGE.audio
    assert call.recorded == greeted + (message or b"")
    assert greeted in (HELLO.audio or b"")  # the end of a greeting, if it began after the beep
    assert agent.turns[-1].instructions.endswith(": Call us back, please.")


@pytest.mark.parametrize(
    ("callee", "file"),
    [
        (Callee(machine=True), AGENT),
        (Callee(machine=True, answered_by="machine_end_silence"), AGENT),
        (Callee(answered_by="fax"), CALLING),
    ],
)
async def test_where_nothing_is_to_be_left_the_line_is_cut_at_once(
    callee: Callee, file: str
) -> None:
    async with calling(file=file) as w:
        w.line.callees[ANN] = callee
        await place(w)
        call = await w.line.outbound()
        record = await over(w, call)

    assert call.recorded in (HELLO.audio or b"")  # of a greeting that goes on behind the beep
    assert (record["status"], record["ended_by"]) == ("completed", "voicemail")
    assert record["answered_by"] == call.answered_by


async def test_a_callee_of_unknown_kind_is_treated_as_human() -> None:
    async with calling() as w:
        w.line.callees[ANN] = Callee(answered_by="unknown")
        await place(w)
        call = await w.line.outbound()
        await detected(call)
        await call.wait_quiet()
        session = await w.model.session()
        session.start_speech()
        session.stop_speech("Hello?")
        await call.wait_heard(len(HELLO.audio or b"") + len(ANSWER.audio or b""))
        call.hang_up()
        record = await over(w, call)

    assert (record["answered_by"], record["ended_by"]) == ("unknown", "caller")
    assert "VoicemailReached" not in names(record)


async def test_a_machine_found_out_before_its_stream_is_left_the_message() -> None:
    """Twilio tells who answered on a way of its own, which may be the quicker one."""
    async with calling(line=RINGS_ON) as w:
        w.line.callees[ANN] = Callee("no-answer")  # Twilio's part is played here, by hand
        line_call = (await place(w)).body["call_sid"]
        order = w.line.rest_requests[0].form
        path = order["Url"].removeprefix(PUBLIC_URL)
        verdict_path = order["AsyncAmdStatusCallback"].removeprefix(PUBLIC_URL)
        form = call_form(line_call, AnsweredBy="machine_end_beep")
        assert (await request(w, verdict_path, form)).status == 204

        form = call_form(line_call, CallStatus="in-progress", Direction="outbound-api")
        answer = await request(w, path, form)
        heard = b""
        async with raw_stream(w, answer.stream_url) as stream:
            await stream.start(line_call)
            event = ""
            while len(heard) < len(MESSAGE.audio or b"") or event != "mark":
                message = await stream.receive()
                event = message["event"]
                if event == "media":
                    heard += b64decode(message["media"]["payload"])
                elif event == "mark":  # heard at once
                    await stream.send(message)
            call = await w.line.outbound()
            with pytest.raises(CallEnded):  # for Twilio was told to hang up
                await call.wait_for(lambda: False)
        assert heard == MESSAGE.audio
        ended = {"CallSid": line_call, "CallStatus": "completed"}
        await request(w, "/call-status", ended)
        await w.settled()
        assert (await w.record(line_call))["answered_by"] == "machine_end_beep"


async def test_a_late_verdict_does_not_hang_up_on_a_person() -> None:
    """The verdict is posted late, twice, and again after the goodbye."""
    async with calling() as w:
        w.line.callees[ANN] = Callee()
        await place(w)
        call = await w.line.outbound()
        await call.wait_quiet()
        await detected(call)
        session = await w.model.session()
        for number in (1, 2):
            session.start_speech()
            session.stop_speech("Is my table ready?")
            await call.wait_heard(len(HELLO.audio or b"") + number * len(ANSWER.audio or b""))
            await call.wait_quiet(50)
        order = w.line.rest_requests[0].form
        path = order["AsyncAmdStatusCallback"].removeprefix(PUBLIC_URL)
        verdict = call_form(call.call_sid, AnsweredBy="machine_end_other")
        for _ in range(2):
            assert (await request(w, path, verdict)).status == 204
        session.start_speech()
        session.stop_speech("And now?")
        await call.wait_heard(len(HELLO.audio or b"") + 3 * len(ANSWER.audio or b""))
        call.hang_up()
        record = await over(w, call)
        assert (await request(w, path, verdict)).status == 204

    assert record["ended_by"] == "caller"
    assert [r.form.get("Status") for r in w.line.rest_requests] == [None]
    assert MESSAGE.text not in [turn["text"] for turn in record["transcript"]]
    reasons = [line["reason"] for line in w.log.of("call decision")]
    assert ["machine_end_other" in reason for reason in reasons] == [True, True]


async def test_without_detection_twilio_is_asked_for_no_verdict() -> None:
    file = CALLING + 'answering_machine = "off"\n'
    async with calling(file=file) as w:
        w.line.callees[ANN] = Callee(machine=True)
        await place(w)
        call = await w.line.outbound()
        await call.wait_quiet()
        token = w.line.rest_requests[0].form["Url"].rpartition("/")[2]
        verdict = call_form(call.call_sid, AnsweredBy="machine_end_beep")
        assert (await request(w, f"/answering-machine/{token}", verdict)).status == 204
        await call.wait_quiet()
        call.hang_up()
        record = await over(w, call)

    order = w.line.rest_requests[0].form
    assert not [name for name in order if "Machine" in name or "Amd" in name]
    assert (record["ended_by"], record["answered_by"]) == ("caller", "machine_end_beep")


# --- Twilio has its ways --------------------------------------------------------------------------


@pytest.mark.parametrize("machine", [False, True])
async def test_the_callee_may_answer_before_the_order_is_answered(machine: bool) -> None:
    agent = Agent()
    async with calling(agent, line={"connects_before_answering": True}) as w:
        w.line.callees[ANN] = Callee(machine=machine)
        told = await place(w, voicemail="Call back.")
        call = await w.line.outbound()
        assert (told.status, told.body) == (201, {"call_sid": call.call_sid})
        if not machine:
            await call.wait_quiet()
            await detected(call)
            call.hang_up()
        record = await over(w, call)

    assert record["status"] == "completed"
    assert record["answered_by"] == ("machine_end_beep" if machine else "human")
    message = (MESSAGE.audio or b"") if machine else b""
    assert call.recorded.endswith(message)
    assert call.recorded.removesuffix(message) in (HELLO.audio or b"")  # it began after the beep


@pytest.mark.parametrize(
    ("callbacks", "seed"), [("twice", 0), *(("shuffled", n) for n in range(3))]
)
async def test_callbacks_in_any_order_leave_the_right_record(callbacks: str, seed: int) -> None:
    expected = {"answers": "completed", "busy": "busy", "no-answer": "no-answer"}
    async with calling(line={"callbacks": callbacks, "seed": seed}) as w:
        for number, goes in enumerate(expected):
            to = f"+1415555013{number}"
            w.line.callees[to] = Callee(goes, answers_after_ms=10, hangs_up_after_ms=150)
            assert (await place(w, to)).status == 201
        for number, goes in enumerate(expected, 1):
            call = await w.line.outbound(number)
            record = await over(w, call)
            assert record["status"] == call.status == expected[goes]
            reports = [r.status for r in call.requests if "/call-status" in r.url]
            assert set(reports) == {204} and len(reports) >= (2 if goes == "busy" else 3)
            assert record["answered_by"] == ("human" if goes == "answers" else None)
        assert (w.switchboard.live_calls, live_calls(w)) == (0, 0)


# --- Twilio's REST API has its days ---------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault(503), Fault(429, retry_after=0), Fault(503, times=2)])
async def test_an_order_that_was_surely_not_done_is_given_again(fault: Fault) -> None:
    tries = 1 + fault.times
    async with calling() as w:
        w.line.callees[ANN] = Callee("busy")
        w.line.rest_faults.append(fault)
        told = await place(w)
        call = await w.line.outbound()
        await over(w, call)

        assert (told.status, told.body) == (201, {"call_sid": call.call_sid})
        assert len(w.line.calls) == 1 and len(w.line.rest_requests) == tries


@pytest.mark.parametrize(
    ("fault", "status", "fix"),
    [
        (Fault(500), 504, "may ring all the same; look at GET /calls"),
        (Fault(503, times=3), 502, "status 503"),
        (Fault(401), 502, "TWILIO_AUTH_TOKEN"),
    ],
)
async def test_an_order_that_failed_says_what_to_do(fault: Fault, status: int, fix: str) -> None:
    async with calling() as w:
        tries = fault.times
        w.line.rest_faults.append(fault)
        told = await place(w)

        assert told.status == status and fix in told.detail
        assert w.line.calls == {} and len(w.line.rest_requests) == tries
        assert live_calls(w) == (status == 504)
        assert len(w.log.of("outbound call refused")) == 1
        assert not w.model.handshakes


async def test_an_order_whose_answer_was_lost_is_not_repeated_and_its_callee_is_served() -> None:
    agent = Agent()
    async with calling(agent) as w:
        w.line.callees[ANN] = Callee(answers_after_ms=20)
        w.line.rest_faults.append(Fault(lost=True))
        told = await place(w, context="Her table is ready.")
        assert told.status == 504 and "GET /calls" in told.detail
        call = await w.line.outbound()
        await call.wait_connected()
        await call.wait_quiet()
        session = await w.model.session()
        assert "Her table is ready." in session.config["instructions"]
        call.hang_up()
        record = await over(w, call)

        assert call.heard == HELLO.audio
        assert (record["status"], record["direction"]) == ("completed", "outbound-api")
        assert len(w.line.calls) == 1
        listed = await api(w, "GET", "/calls")
        assert [each["call_sid"] for each in listed.body["calls"]] == [call.call_sid]
        assert w.line.rest_requests[0].form["To"] == ANN
        assert f"/Accounts/{ACCOUNT_SID}/" in w.line.rest_requests[0].path
