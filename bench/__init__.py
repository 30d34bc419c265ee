"""Measures the service beside the least that a Python process can do: `python -m bench`."""
