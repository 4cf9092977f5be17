"""The sampler of the host's metrics: one sample a second, whoever listens."""
