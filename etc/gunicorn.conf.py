"""gunicorn's configuration for Mist's web tier, derived from Mist's settings.

Everything that an operator may want to change is a key of the section ``[server]`` in
``mist.toml``.  The values fixed here have their reason next to them.
"""

import math
import os

import mist.settings

_server = mist.settings.load().server

wsgi_app = "api.main:build()"
bind = _server.bind
workers = _server.workers
worker_class = "api.worker.MistWorker"

# Requests in progress per worker. An open WebSocket no longer counts as a request;
# streams.max_clients limits those.
worker_connections = _server.worker_connections
# Connections waiting for accept(). The kernel caps this at net.core.somaxconn (4096
# on current Linux).
backlog = _server.backlog

# All workers share one listening socket, and each accepts one connection at a time
# (gevent does so whenever there are several workers). A worker with more connections
# than another lets that one accept first, because WebSockets stay open for hours.
# SO_REUSEPORT would distribute connections without regard to load, lose those queued
# for a worker that ends, and let a second Mist bind the same port without an error.
reuse_port = False

# The master kills a worker that takes longer to stop.
graceful_timeout = math.ceil(_server.graceful_timeout)

# The master (api/server/master.py) watches the workers itself, with the time limit of every
# other process: supervisor.hang_seconds.
timeout = 0

# The proxies whose X-Forwarded-For and X-Forwarded-Proto headers are trusted.
forwarded_allow_ips = _server.forwarded_allow_ips

# Load nothing before the fork: gevent's loop, ZeroMQ's context and the store's
# connections must not be shared between processes.
preload_app = False

# The heartbeat file must be in memory: on a disk that stalls, it would block the worker.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108

# Mist does not use gunicorn's own control interface; `mist status` shows the processes.
control_socket_disable = True

# No access log, which would not be of use here; the application logs failures.
accesslog = None
errorlog = "-"
proc_name = "mist-api"
