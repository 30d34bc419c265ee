"""The example agent, a pizzeria: the demo runs it, and an owner copies it to start with."""

from pathlib import Path

_APP = Path(__file__).parents[2]
_PACKAGED = _APP / "examples"  # `setup.py` puts the checkout's `examples/` there
_FOLDER = _PACKAGED if _PACKAGED.is_dir() else _APP.parent / "examples"

EXAMPLE_AGENT = _FOLDER / "pizzeria.toml"
