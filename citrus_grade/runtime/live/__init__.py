"""The live line: a process a device, one core, one recorder, and the supervisor that keeps them alive.

What they share is memory without a name and sockets that keep the borders of messages, both handed down by the supervisor. So a
killed process leaves nothing behind, and its successor goes on with the same ends.
"""
