"""WebSockets (RFC 6455) for the gunicorn worker, on gevent-websocket's classes.

``frames`` and ``parser`` are the protocol without I/O, ``connection`` one open
connection, ``keeper`` what a worker does for all of them, ``handshake`` and
``handler`` the way from an HTTP request to a connection.
"""
