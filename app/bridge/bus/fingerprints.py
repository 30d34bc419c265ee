"""Fingerprints of secrets: replicas compare them, and do not show the secrets."""

from collections.abc import Mapping
from hashlib import scrypt

# 16 MiB and some 50 ms for each: who reads Redis cannot try a dictionary of secrets quickly.
_COST = {"n": 2**14, "r": 8, "p": 1}
#: Enough to notice a difference, and too few bits to confirm a guess.
_BYTES = 4


def fingerprints(secrets: Mapping[str, str]) -> dict[str, str]:
    """The fingerprint of each secret by its variable; "" for one that is not set. Takes long: call
    it in a thread."""
    return {name: _fingerprint(name, secret) for name, secret in secrets.items()}


def _fingerprint(name: str, secret: str) -> str:
    if not secret:
        return ""
    salt = f"phone-agent fingerprint of {name}".encode()
    return scrypt(secret.encode(), salt=salt, dklen=_BYTES, **_COST).hex()


def differing(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """The variables whose secrets differ."""
    return sorted(name for name in ours if ours[name] != theirs.get(name, ""))
