"""Wiring: creates the parts of the call machine and connects them.

    audio            what plays, and what the caller heard: the playback ledger
    model            the connection, items, responses and tool answers of the model
    speech           the agent's speech: audio, items, synthesis, conversation
    exits            goodbye, transfer, redirect, tones
    entries          the caller's keys
    floor            who may speak
    barge_in         the caller interrupts the agent
    evidence         whether a person or a menu answered an outbound call
    detection        verdicts of answering machine detection
    session          the model's session: configured, swapped, lost, replaced
    idle_and_hold    idle prompts, hold tones, the longest call
    deadlines        responses that owe the caller sound
    retries          what happens when such a deadline passes
    orders           an operator's orders, and the caller's lone 0
    stream           deadlines of the media stream
    keys             whether an entry is for a tool, a human or the model
    waiting          whether the caller waits, and for what
    silences         how long the caller heard nothing, and why
    missing          ids that the model's server leaves out

Each part's file holds its own rules; `machine` holds the rules between parts, `due` their order.

Parts share these mutable objects, and no others:

- `Commands`, each through its own `Outbox`: the order of decisions is the order on the wires.
- `Ids`: an id is unique within a leg, whichever part makes it.
- `Conversation`: the transcript is one, and the agent's speech, the caller's keys and the answers
  of tools are turns of it.
- `AgentAudio`: there is one line to the caller. All sounds queue there, and what was heard is
  measured there.
- `Model`: one response at a time may be in flight, so every part that wants one asks here.
- `AgentSpeech`, `Exits`, `DigitEntries` and `Floor`: their states decide what other parts may do
  now. Those parts read them, and tell them what happened.
- `BargeIn`: a key and an answering machine interrupt the agent, as the caller's speech does.
- `CalleeEvidence`: the machine tells it what the callee does, and `Detection` reads it.
- `Responses.allow` is set by `Exits` alone, `Floor.answer_by_ms` by `due` and the session.
"""

from app.call.agent import Agent
from app.call.barge_in import BargeIn
from app.call.caller.callee_evidence import CalleeEvidence
from app.call.caller.digit_entries import DigitEntries
from app.call.caller.floor import Floor
from app.call.caller.idle_and_hold import IdleAndHold
from app.call.caller.stream_deadlines import StreamDeadlines
from app.call.detection import Detection
from app.call.exits.exits import Exits
from app.call.heard.agent_audio import AgentAudio
from app.call.heard.conversation import Conversation
from app.call.ids import Ids
from app.call.keys import Keys
from app.call.model.missing_ids import MissingIds
from app.call.model.model import Model
from app.call.model_session import ModelSession
from app.call.ordered_words import OrderedWords
from app.call.orders import Orders
from app.call.outbox import Commands
from app.call.response_deadlines import ResponseDeadlines
from app.call.retries import Retries
from app.call.silences import Silences
from app.call.speech.agent_speech import AgentSpeech
from app.call.waiting import Waiting


class Parts:
    """The parts of one machine."""

    def __init__(self, agent: Agent, commands: Commands, conversation: Conversation) -> None:
        limits = agent.limits
        self.ids = Ids()
        self.audio = AgentAudio(commands)
        self.model = Model(commands, self.ids, conversation, agent)
        self.speech = AgentSpeech(commands, self.audio, self.model, conversation, agent.voices)
        self.exits = Exits(commands, agent, self.audio, self.model)
        self.entries = DigitEntries(commands, self.audio, self.model, conversation, self.ids)
        self.floor = Floor(self.exits, self.entries, agent.turns)
        self.barge_in = BargeIn(commands, self.floor, self.speech, self.model, self.exits)
        settings = self.model.settings
        self.evidence = CalleeEvidence(conversation, self.audio, self.exits, settings)
        self.detection = Detection(commands, self.evidence, self.barge_in, self.floor, self.exits)
        self.session = ModelSession(commands, self.model, self.speech, self.floor, self.exits)
        self.idle_and_hold = IdleAndHold(limits, self.audio, self.model.responses, self.exits)
        self.deadlines = ResponseDeadlines(
            self.audio, self.model, self.speech, limits.first_sound_ms
        )
        self.retries = Retries(commands, self.deadlines, self.model, self.session)
        self.stream = StreamDeadlines()
        words = OrderedWords(commands, self.audio, self.model, self.speech)
        self.orders = Orders(agent, self.model, self.exits, words, self.ids)
        self.keys = Keys(self.entries, self.orders, self.barge_in, self.floor)
        self.waiting = Waiting(self.audio, self.model, self.exits, self.entries, self.floor)
        self.silences = Silences(commands, self.audio, self.speech, self.waiting)
        self.missing = MissingIds(self.ids, conversation, self.model)
