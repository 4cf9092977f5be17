"""Commands against a service on another machine, over HTTP and WebSockets.

Nothing here is imported by a command that works on this machine.
"""
