"""Accounts: passwords, session tokens, who somebody is, and the key that signs it."""
