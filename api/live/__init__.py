"""The live streams, which lead from the bus through a shared ring per topic to the clients."""
