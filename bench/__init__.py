"""Benchmarks: the service and its yardsticks, measured in one run on one machine.

``python -m bench`` starts everything that it measures, on loopback and Unix sockets, and
stops it again.  Compare the ratios, not the absolute figures: those drift with the
machine, and so does the yardstick of the same run.
"""
