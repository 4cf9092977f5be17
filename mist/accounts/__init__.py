"""Accounts: passwords, session tokens, identities, and the key that signs tokens."""
