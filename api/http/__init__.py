"""The HTTP API beside the WebSocket routes: log-in, applications, deployments, health."""
