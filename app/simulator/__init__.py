"""A phone line and a Realtime server to test against.

They speak raw JSON over real sockets and import nothing of the bridge but its audio arithmetic, so
that a wrong wire cannot agree with itself.
"""
