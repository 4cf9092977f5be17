"""The sampler of the host's metrics: one sample per second, regardless of the clients."""
