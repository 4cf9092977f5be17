"""Benchmarks: the service beside its yardsticks, in one run on one machine.

``python -m bench`` starts everything it measures itself, on loopback and unix
sockets, and ends it again.  Ratios are what is kept: absolute figures drift with
the machine, and the yardstick of the same run drifts with them.
"""
