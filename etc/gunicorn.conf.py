"""gunicorn's configuration for Mist's web tier; what it says comes from Mist's settings.

Everything an operator may want to change is a key of the section ``[server]`` in
``mist.toml``.  What is decided here is decided for a reason, which stands beside it.
"""

import math
import os

import mist.settings

_server = mist.settings.load().server

wsgi_app = "api.main:build()"
bind = _server.bind
workers = _server.workers
worker_class = "api.worker.MistWorker"

# Requests under way in one worker. Open WebSockets are no requests any more; their
# bound is streams.max_clients.
worker_connections = _server.worker_connections

# How many connects may wait while the workers are busy. The kernel cuts it to
# net.core.somaxconn (4096 on today's Linux).
backlog = _server.backlog

# All workers share one listening socket, and each takes one connection a turn
# (gevent does that by itself as soon as there are several workers); a worker that
# has more connections than another lets that one go first, because WebSockets stay
# for hours where they are. SO_REUSEPORT would spread them blindly, lose those that
# wait in the queue of a worker that ends, and let a second Mist bind the same port
# without an error.
reuse_port = False

# The master kills a worker that takes longer to stop.
graceful_timeout = math.ceil(_server.graceful_timeout)

# Who may say, with X-Forwarded-For and X-Forwarded-Proto, for whom a request is.
forwarded_allow_ips = _server.forwarded_allow_ips

# Nothing of the application exists before the fork: gevent's loop, ZeroMQ's
# context and the store's connections belong to one process each.
preload_app = False

# A file for the workers' heartbeat; on a disk that stalls it would stop the worker.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108

# gunicorn's own control interface is not used; `mist status` shows the processes.
control_socket_disable = True

# One line for each request is of no use here; failures are logged by the application.
accesslog = None
errorlog = "-"
proc_name = "mist-api"
