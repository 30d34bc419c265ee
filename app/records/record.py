"""The record of a call. Each field is declared once: its column, its place in the HTTP API and in
the owner's report, and its documentation follow from here.

Declare a field in the class that says who sees it: in `CallSummary`, lists of calls show it too; in
`CallDetails`, the whole record and the report do; in `CallRow`, it is stored and not shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError


@dataclass(frozen=True, slots=True)
class Column:
    """How a field is stored, beyond what its type says. A new field needs `| None` or a
    `server_default`: replicas of the version before go on inserting rows without it. It also needs
    a revision in `app/records/migrations/`."""

    #: For rows that are inserted without the field; a callable is called. None: NULL.
    default: Any = None
    #: The same in SQL, for rows of earlier versions.
    server_default: str | None = None
    primary_key: bool = False


# Every answer of the API has all fields, also those with a default, so its schema requires them.
_COMPLETE = ConfigDict(json_schema_serialization_defaults_required=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSummary:
    """A call without its transcript and events. Times are UTC."""

    __pydantic_config__ = _COMPLETE

    call_sid: Annotated[
        str, Column(primary_key=True), Field(description="the call's SID at Twilio")
    ]
    status: Annotated[
        str,
        Column(default="ringing"),
        Field(description="in Twilio's words, such as in-progress or completed"),
    ]
    direction: Annotated[
        str, Column(default="inbound"), Field(description="inbound, outbound-api or softphone")
    ]
    from_number: Annotated[
        str,
        Column(default=""),
        Field(
            serialization_alias="from",
            description="E.164, or whatever else Twilio sent; empty if unknown",
        ),
    ]
    to_number: Annotated[
        str,
        Column(default=""),
        Field(serialization_alias="to", description="the number that was called, likewise"),
    ]
    created_at: Annotated[datetime, Field(description="when the call came in, or was placed")]
    started_at: Annotated[
        datetime | None,
        Field(description="when the first media stream started; null if none did"),
    ]
    ended_at: Annotated[datetime | None, Field(description="null while the call lives")]
    duration_s: Annotated[
        float | None,
        Field(description="seconds on the line, whatever becomes of the wall clock meanwhile"),
    ]
    answered_by: Annotated[
        str | None, Field(description="in Twilio's words, such as human or machine_end_beep")
    ]
    agent_name: Annotated[
        str,
        Column(default=""),
        Field(
            serialization_alias="agent",
            description="the agent's name; empty until an agent answers",
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDetails(CallSummary):
    """What the record says beyond lists of calls."""

    __pydantic_config__ = _COMPLETE

    ended_by: Annotated[
        str | None,
        Field(description="who or what ended the call, such as caller, agent or limit"),
    ]
    usage: Annotated[
        dict[str, int],
        Column(default=dict),
        Field(
            description="tokens, milliseconds of transcribed audio, characters of external voices"
        ),
    ]
    timings: Annotated[
        dict[str, float],
        Column(default=dict),
        Field(
            description="milliseconds from the start of the call: `model_ready_ms`, "
            "`stream_started_ms`, `first_delta_ms` (the first audio of the agent came from the "
            "model or the voice), `first_media_ms` (it went to Twilio)"
        ),
    ]
    summary: Annotated[
        str | None,
        Field(description="what the call was about, with `[after_call] summary = true`"),
    ] = None
    cost: Annotated[
        dict[str, Any],
        Column(default=dict, server_default="{}"),
        Field(
            description="`model`, `line`, other parts and their `total`, in `currency`, by the "
            "prices of the day `as_of`; a part without a known price is null and listed in "
            "`unknown`; empty until the call is over",
            examples=[
                {
                    "currency": "USD",
                    "model": 0.0123,
                    "line": 0.0129,
                    "total": 0.0252,
                    "as_of": "2026-11-21",
                    "unknown": [],
                }
            ],
        ),
    ]
    recording: Annotated[
        str | None,
        Field(
            description="path of the WAV file, on the machine that had the call last; null if the "
            "call was not recorded; `GET /calls/{call_sid}/recording` has the sound"
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow(CallDetails):
    """A call as it is stored: what the API shows, and what it does not."""

    account_sid: Annotated[str, Column(default="")]
    #: See `TransferAttempts.records`; the API shows of each what `Transfer` names.
    transfers: Annotated[list[dict[str, Any]], Column(default=list)]
    #: What an outbound call is for, see `PlacedCall.as_data`; empty: an inbound call.
    placed: Annotated[dict[str, Any], Column(default=dict, server_default="{}")] = field(
        default_factory=dict
    )
    #: The files of the recording in their order, see `RecordingPart.as_data`.
    recordings: Annotated[list[dict[str, Any]], Column(default=list, server_default="[]")] = field(
        default_factory=list
    )
    #: What the call's last leg leaves to the next one, see `Carried.as_data`.
    carried: Annotated[dict[str, Any], Column(default=dict, server_default="{}")] = field(
        default_factory=dict
    )
    #: Raised when another process takes the call over: see `Store.adopt`.
    epoch: Annotated[int, Column(default=0, server_default="0")] = field(default=0, compare=False)
    #: The process that raised it last, by a random id.
    adopted_by: Annotated[str | None, Column()] = field(default=None, compare=False)
    #: Raised by each write.
    revision: Annotated[int, Column(default=0, server_default="0")] = field(
        default=0, compare=False
    )
    #: The process that wrote the owner's rows last, by a random id.
    written_by: Annotated[str | None, Column()] = field(default=None, compare=False)
    #: Tells what that process wrote first and last; see `Work.number`.
    write_number: Annotated[int | None, Column()] = field(default=None, compare=False)


Transfers = Sequence[Mapping[str, Any]]
"""The transfers of a call in their order, see `TransferAttempts.records`."""


class Transfer(BaseModel):
    """One attempt to transfer the caller to a human."""

    destination: str = Field(description="its name in the agent file")
    outcome: str = Field(
        description="completed: the human accepted, and they talked; busy, no-answer, failed, "
        "canceled: as Twilio reports; not-accepted: the call was answered, possibly by a machine, "
        "but 1 was not pressed; ringing or in-progress until then"
    )
    reason: str = Field("", description="why, as the model wrote it")
    summary: str = Field("", description="what the human was told, as the model wrote it")
    warm: bool = Field(False, description="the human was briefed while the caller heard music")
    seconds: float | None = Field(None, description="how long the human was on the line, if known")


@dataclass(frozen=True, slots=True)
class TurnRow:
    """One turn of the conversation."""

    __pydantic_config__ = _COMPLETE

    #: Its place in the conversation, from 0.
    position: Annotated[int, Column(primary_key=True), Field(exclude=True)]
    role: Annotated[
        Literal["user", "assistant", "tool"], Field(description="user, assistant or tool")
    ]
    text: Annotated[str, Field(description="what was heard on the phone")]
    item_id: Annotated[
        str, Field(description="the item of the Realtime session, or the tool call")
    ] = ""
    at_ms: Annotated[
        float, Field(description="when it began, in milliseconds from the start of the call")
    ] = 0.0
    cut: Annotated[
        bool,
        Field(description="not all of it was heard: the caller interrupted it, or the call ended"),
    ] = False
    estimated: Annotated[
        bool, Field(description="`text` is estimated in proportion to the audio that was heard")
    ] = False
    heard_ms: Annotated[
        float | None,
        Field(description="how much of the agent's audio was heard; null if it has none"),
    ] = None
    complete: Annotated[bool, Field(description="the turn does not change any more")] = True
    extra: Annotated[
        dict[str, Any],
        Field(
            description="`name`: of the tool; `by`: `keypad`, the caller typed it; `interruption`: "
            "`false`, a cough or the like after which the agent went on"
        ),
    ] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """An event or a command of the call, or a run of them."""

    __pydantic_config__ = _COMPLETE

    #: Rises with time; entries of a run are counted too, so positions have gaps.
    position: Annotated[int, Field(exclude=True)]
    at_ms: Annotated[float, Field(description="milliseconds from the start of the call")]
    kind: Annotated[Literal["event", "command"], Field(description="event or command")]
    name: Annotated[str, Field(description="its class in `app/call`")]
    #: See `TimelineEntry.as_data`.
    data: Annotated[dict[str, Any], Field(description="its fields, without audio")] = field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(CallDetails):
    """The whole record of a call."""

    __pydantic_config__ = _COMPLETE

    transfers: Annotated[
        list[Transfer], Field(description="every attempt to transfer the caller, in order")
    ]
    transcript: Annotated[
        list[TurnRow], Field(description="the turns of the conversation, as they were heard")
    ]
    events: Annotated[list[TimelineRow], Field(description="the timeline: every event and command")]


def shown(row: CallRow, turns: Sequence[TurnRow], events: Sequence[TimelineRow]) -> Call:
    """The record as the API shows it."""
    return Call(
        **{each.name: getattr(row, each.name) for each in fields(CallDetails)},
        transfers=list(_readable(row.transfers)),
        transcript=list(turns),
        events=list(events),
    )


def _readable(transfers: Transfers) -> Iterator[Transfer]:
    for each in transfers:
        with suppress(ValidationError):
            yield Transfer.model_validate(each)
