"""Benchmarks of the service as a process, from both ends of its calls: `python -m bench`."""
