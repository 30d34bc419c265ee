"""Responses without sound and lost connections, and what callers hear then."""
