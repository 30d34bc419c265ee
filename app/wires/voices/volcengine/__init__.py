"""Volcengine's voices, over either of its two wires."""
