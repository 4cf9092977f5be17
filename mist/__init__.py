"""The ground that every process of Mist's live plane stands on.

Settings, paths, errors, messages, the store, accounts, applications and
deployments.  This package imports no other package of the project.
"""

__version__ = "0.1.0"
