"""The load generator: many WebSocket clients in a process of their own."""
