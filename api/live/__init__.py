"""The live streams: from the bus, through one shared ring for each topic, to the clients."""
