"""The broker: forwards what collectors publish, remembers some of it, and tells of demand."""
