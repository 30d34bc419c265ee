"""The Realtime API's events against the newest types of the openai package: what our wire sends,
and what the embedded server takes and answers.

The project's own tests check both with the version that they are pinned to; these are the same
tests with the newest one. Unknown fields are faults.
"""

from types import ModuleType

from tests.simulator.realtime import test_items, test_nulls, test_server, test_tool_outputs
from tests.wires.realtime import test_session_update

_MODULES: tuple[ModuleType, ...] = (
    test_session_update,  # every event that our client sends
    test_nulls,  # every object and optional field of the types, as the server takes it
    test_server,  # every event that the server answers
    test_items,
    test_tool_outputs,
)

for _module in _MODULES:
    _about = _module.__name__.rpartition(".")[2]
    for _name, _test in list(vars(_module).items()):
        if _name.startswith("test_"):
            globals()[f"{_about}_{_name}"] = _test
del test_items, test_nulls, test_server, test_tool_outputs, test_session_update
