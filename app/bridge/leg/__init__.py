"""One leg of a call: its machine, and its sides: caller, model, voices, tools."""
