"""A voice agent on pipecat: its Twilio serializer, transport and pipeline, with its OpenAI Realtime
service."""

import asyncio
from typing import Any

from fastapi import FastAPI, Response, WebSocket
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import LLMRunFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.realtime.events import (
    AudioConfiguration,
    AudioInput,
    InputAudioTranscription,
    SessionProperties,
    TurnDetection,
)
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from compat.pizzeria import INSTRUCTIONS, MODEL, TOOLS, Kitchen
from compat.sound import LINE_HZ


class PipelineBot:
    """Answers each call with a pipeline."""

    def __init__(self, model_url: str, kitchen: Kitchen, twiml: str) -> None:
        self.app = FastAPI()
        self.app.post("/incoming-call")(self._answer)
        self.app.websocket("/media-stream")(self._take)
        self.context = LLMContext(tools=ToolsSchema([_schema(tool) for tool in TOOLS]))
        #: The pipeline's errors.
        self.errors: list[str] = []
        #: Set when a call has ended.
        self.over = asyncio.Event()
        self._model_url = model_url
        self._kitchen = kitchen
        self._twiml = twiml

    async def _answer(self) -> Response:
        return Response(self._twiml, media_type="text/xml")

    async def _take(self, websocket: WebSocket) -> None:
        await websocket.accept()
        _, call = await parse_telephony_websocket(websocket)
        transport = FastAPIWebsocketTransport(
            websocket,
            FastAPIWebsocketParams(
                audio_in_enabled=True,
                audio_out_enabled=True,
                serializer=TwilioFrameSerializer(
                    call.stream_id,
                    call.call_id,
                    params=TwilioFrameSerializer.InputParams(auto_hang_up=False),
                ),
            ),
        )
        aggregators = LLMContextAggregatorPair(
            self.context,
            # The server detects turns. The default would load a turn model.
            user_params=LLMUserAggregatorParams(user_turn_strategies=ExternalUserTurnStrategies()),
        )
        worker = PipelineWorker(
            Pipeline(
                [
                    transport.input(),
                    aggregators.user(),
                    self._model(),
                    transport.output(),
                    aggregators.assistant(),
                ]
            ),
            params=PipelineParams(audio_in_sample_rate=LINE_HZ, audio_out_sample_rate=LINE_HZ),
        )

        @transport.event_handler("on_client_connected")
        async def greet(_transport: Any, _client: Any) -> None:
            await worker.queue_frames([LLMRunFrame()])

        @transport.event_handler("on_client_disconnected")
        async def hang_up(_transport: Any, _client: Any) -> None:
            await worker.cancel()

        @worker.event_handler("on_pipeline_error")
        async def complain(_worker: Any, frame: Any) -> None:
            self.errors.append(frame.error)

        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        await runner.run()
        self.over.set()

    def _model(self) -> OpenAIRealtimeLLMService:
        model = OpenAIRealtimeLLMService(
            api_key="sk-test",
            base_url=self._model_url,
            settings=OpenAIRealtimeLLMService.Settings(
                model=MODEL,
                system_instruction=INSTRUCTIONS,
                session_properties=SessionProperties(
                    audio=AudioConfiguration(
                        input=AudioInput(
                            transcription=InputAudioTranscription(model="gpt-4o-transcribe"),
                            turn_detection=TurnDetection(silence_duration_ms=500),
                        )
                    )
                ),
            ),
        )
        for tool in TOOLS:
            model.register_function(tool["name"], self._run_tool)
        return model

    async def _run_tool(self, asked: FunctionCallParams) -> None:
        tool = getattr(self._kitchen, asked.function_name)
        await asked.result_callback(tool(**asked.arguments))


def _schema(tool: dict[str, Any]) -> FunctionSchema:
    parameters = tool["parameters"]
    return FunctionSchema(
        tool["name"], tool["description"], parameters["properties"], parameters["required"]
    )
