"""How a call leaves the agent: goodbye, transfer, redirect, tones."""
