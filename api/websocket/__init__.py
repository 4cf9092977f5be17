"""WebSockets (RFC 6455) on gevent-websocket's classes; it imports nothing else of ours.

``frames`` and ``parser`` are the protocol without I/O, ``handshake`` the check of the
request, and ``connection`` one open connection.
"""
