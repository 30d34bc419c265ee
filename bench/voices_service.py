"""Starts the service as people do, `python -m app serve`, for an agent that speaks in some way.

The one argument is what the agent's file says under [voice]. The file is written where the process
was started, and this process becomes the service.
"""

import os
import sys
from pathlib import Path

SECRET = "bench"  # what every stand-in demands, under each name that a provider has for it
AGENT = """\
name = "Teller"
instructions = "Tell the caller how things are."
greeting = "Hello."
[limits]
idle_seconds = 0
longest_call_seconds = 0
[voice]
"""
VARIABLES = {
    "AGENT_FILE": "agent.toml",
    "DASHSCOPE_API_KEY": SECRET,
    "VOLCENGINE_APP_ID": SECRET,
    "VOLCENGINE_ACCESS_TOKEN": SECRET,
    "HTTP_VOICE_TOKEN": SECRET,
}


def main() -> None:
    Path(VARIABLES["AGENT_FILE"]).write_text(AGENT + sys.argv[1], encoding="utf-8")
    command = [sys.executable, "-m", "app", "serve"]
    os.execve(sys.executable, command, {**os.environ, **VARIABLES})


if __name__ == "__main__":
    main()
