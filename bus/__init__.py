"""The data plane: topics, wire format, ordering, sockets and the broker."""
