"""The data plane: topics, wire format, reordering, sockets and the broker."""
