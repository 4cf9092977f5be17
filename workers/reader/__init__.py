"""The reader: a one-shot worker that sends older lines of a container's log."""
