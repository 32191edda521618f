"""A whole cluster in one process and one seed: real service, consensus core, journal and snapshots.

Simulated are the network, the disk, the clocks and the clients. The same profile and seed give
the same run, event for event, whatever ``PYTHONHASHSEED`` is.
"""
