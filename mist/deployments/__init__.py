"""Deployments: their requests, stages and records."""
