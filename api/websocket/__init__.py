"""WebSockets (RFC 6455) on gevent's event loop; imports nothing else of this project.

``frames`` and ``parser`` implement the protocol without I/O, ``handshake`` checks the
opening request, ``connection`` is one open connection, and ``write_buffer`` holds the
data waiting to be written to it.
"""
