"""HTTP in: parse, call a service, present. Decides nothing."""
