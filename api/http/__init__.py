"""The HTTP API without the WebSocket routes: log-in, applications, deployments, health."""
