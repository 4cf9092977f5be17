"""Applications: what may be done with them."""
