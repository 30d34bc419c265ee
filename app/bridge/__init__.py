"""What the bridge does: legs of calls, the switchboard, transfers, outbound calls."""
