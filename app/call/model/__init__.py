"""The model's side of a call: its connection, responses, session items and tool calls."""
