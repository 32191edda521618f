"""Real nodes in network namespaces behind HAProxy, faults that prove they acted, and a verdict."""
