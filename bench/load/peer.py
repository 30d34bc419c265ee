"""Another project's bridge under the same load: twilio-realtime-agents, in Node."""

import shutil

from bench.process import ROOT, Subject

#: Where `make peers` installs it, with bench/peers/node/server.mjs.
FOLDER = ROOT / ".node-peer"

NODE = Subject(
    "Node peer",
    (str(FOLDER / "server.mjs"), "{port}", "{model_port}"),
    webhook=False,
    program="node",
)


def installed() -> bool:
    """Whether `make peers` was run, and Node is there."""
    return shutil.which("node") is not None and (FOLDER / "node_modules").is_dir()
