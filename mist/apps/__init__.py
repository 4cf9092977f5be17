"""Applications: the rules for creating and sharing them."""
