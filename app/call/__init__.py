"""The call itself, pure: events in, commands out, time as a number.

No clock, socket, task or log in here. Read `events`, `commands` and `machine` first; barge-in is in
`caller/floor`, and what the caller heard in `heard/ledger`.
"""
