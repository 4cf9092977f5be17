"""What every process of Mist's live plane shares.

Settings, topics, messages, the bus client, the store and the ``mist`` command.
This package imports none of ``api``, ``supervisor`` and ``workers``; the
command does so late, to start them.
"""

__version__ = "0.1.0"
