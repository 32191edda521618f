"""How fast it is on this machine: ``make bench``, or ``python -m benchmarks --help``."""
