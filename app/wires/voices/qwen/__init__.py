"""Qwen's realtime voices."""
