"""Agents that come with the bridge: what answers the phone before you write your own."""
