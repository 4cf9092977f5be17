"""The measurements, one module each; ``python -m bench --only NAME`` runs one."""
