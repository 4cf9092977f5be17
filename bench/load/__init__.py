"""The load generator: many WebSocket clients in one process of their own."""
