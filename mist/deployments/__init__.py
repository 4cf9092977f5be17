"""Deployments: requests, stages and records."""
