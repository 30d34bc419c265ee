"""The agent file is read anew for the next call."""

from pathlib import Path

from app.bridge.services import Services
from app.cli.dev.reload import AgentReload
from app.cli.embedded_model import embedded_model
from app.simulator.realtime import Script
from tests.service.world import AGENT, World, world

TOOLS = '''from app.tools import tool

@tool
def menu() -> str:
    """What there is."""
    return "{}"
'''


def reload_of(w: World) -> tuple[AgentReload, list[str]]:
    told: list[str] = []
    return AgentReload(w.settings, w.state.services, None, told.append), told


def file_of(services: Services) -> Path:
    return services.agent.path


async def test_the_next_call_has_the_changed_agent_and_the_live_one_keeps_its_own() -> None:
    agent = AGENT.replace('name = "Tester"', 'name = "Tester"\ntools = "tools.py"')
    async with world(Script(*["Hello."] * 9), agent=agent, tools=TOOLS.format("pizza")) as w:
        reload, told = reload_of(w)
        first = await w.connected()
        path = file_of(w.state.services)
        path.write_text(agent.replace("Be brief.", "Be verbose."))
        path.with_name("tools.py").write_text(TOOLS.format("pasta"))
        await reload.read()
        second = await w.connected()

        legs = [w.switchboard.leg(call.call_sid) for call in (first, second)]
        agents = [leg.seed.agent for leg in legs if leg is not None]
        assert [each.instructions for each in agents] == ["Be brief.", "Be verbose."]
        for leg, dish in zip(legs, ("pizza", "pasta"), strict=True):
            assert leg is not None and leg.seed.equipment is not None
            assert await leg.seed.equipment.tools.run("menu", "{}") == dish
        assert told == [f"{path} is read anew: the next call has it."]


async def test_a_broken_file_leaves_the_agent_of_before_and_is_named() -> None:
    async with world(Script(*["Hello."] * 9)) as w:
        reload, told = reload_of(w)
        services = w.state.services
        path = file_of(services)
        path.write_text(AGENT + "silence = 4\n")
        await reload.read()

        assert services.agent.agent.name == "Tester"
        assert "agent.toml:7: turns.silence: unknown key" in services.agent_fault
        assert told[0].endswith("calls go on with the agent of before:")
        assert services.agent_fault in told[1]
        async with w.http.get(f"{w.url}/readyz") as answer:
            assert (await answer.json())["agent_file"] == "broken"
        await w.connected()

        path.write_text(AGENT.replace("Tester", "Mia"))
        await reload.read()
        assert services.agent.agent.name == "Mia" and not services.agent_fault
        async with w.http.get(f"{w.url}/readyz") as answer:
            assert "agent_file" not in await answer.json()


async def test_a_tools_file_that_fails_is_named() -> None:
    async with world(Script()) as w:
        reload, told = reload_of(w)
        path = file_of(w.state.services)
        path.with_name("tools.py").write_text("import no_such_module\n")
        path.write_text(AGENT.replace('"Tester"', '"Tester"\ntools = "tools.py"'))
        await reload.read()

        assert "tools.py:1: import failed" in told[1]


async def test_voices_of_a_changed_file_need_their_credentials() -> None:
    async with world(Script()) as w:
        reload, told = reload_of(w)
        file_of(w.state.services).write_text(AGENT + '[voice]\nprovider = "qwen"\nname = "Ethan"\n')
        await reload.read()

        assert "DASHSCOPE_API_KEY" in told[1] and w.state.services.voices == ()


async def test_what_is_read_once_is_named() -> None:
    async with world(Script()) as w:
        reload, told = reload_of(w)
        file_of(w.state.services).write_text(AGENT + "[after_call]\nsummary = true\n")
        await reload.read()

        assert told[1] == "  Takes effect at the next start: [after_call] summary."


async def test_a_file_is_read_once_it_stays_the_same() -> None:
    async with world(Script()) as w:
        reload, _ = reload_of(w)
        path = file_of(w.state.services)
        first = reload._stamp()
        path.write_text(AGENT.replace("Tester", "Somebody new"))
        assert reload._stamp() != first
        path.unlink()
        assert reload._stamp() == ()  # between two writes of an editor


async def test_the_embedded_model_learns_the_new_phrases(tmp_path: Path) -> None:
    async with world(Script()) as w:
        services = w.state.services
        line = '[[demo.lines]]\nhears = ["{}"]\nsays = "Yes."\n'
        path = file_of(services)
        path.write_text(AGENT + line.format("good morning"))
        embedded = embedded_model(services.agent)
        told: list[str] = []
        reload = AgentReload(w.settings, services, embedded, told.append)
        before = embedded._brain
        await reload.read()
        assert embedded._brain is not before and "read anew" in told[0]

        path.write_text(AGENT + '[demo]\nvoice = "no such voice"\n')
        await reload.read()
        assert "demo.voice" in told[-1]
