"""The tap: what the broker forwards, over TCP, for clients with a listed key."""
