"""Durable consensus: PySyncObj, made safe at its edges. It lives here and nowhere else."""
