"""The broker: forwards messages, remembers the newest, and reports demand."""
