"""The collector of one container's log: from the engine's stream to the bus."""
