"""WebSockets (RFC 6455) on gevent's event loop; it imports nothing else of ours.

``frames`` and ``parser`` are the protocol without I/O, ``handshake`` the check of the
request, ``connection`` one open connection, and ``write_buffer`` what waits to be
written to it.
"""
