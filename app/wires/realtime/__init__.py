"""OpenAI's Realtime wire and nothing else."""
