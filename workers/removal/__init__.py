"""Removing an application with everything that deployments made for it."""
