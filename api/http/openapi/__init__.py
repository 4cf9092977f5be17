"""The description of the HTTP API (OpenAPI 3.1), generated from the types of the code."""
