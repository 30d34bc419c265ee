"""The call itself, pure: events in, commands out, time as a number.

Nothing in here knows a clock, a socket, a task or a log.
"""
