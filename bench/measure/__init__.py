"""The measurements, one module for each; ``python -m bench --only NAME`` runs one."""
