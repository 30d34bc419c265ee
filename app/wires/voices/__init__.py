"""External voices: the wires of text-to-speech providers, and nothing else."""
