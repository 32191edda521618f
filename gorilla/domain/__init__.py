"""The replicated state machine: what a lock is. No I/O, no clock, no randomness, no logging."""
