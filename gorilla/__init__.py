"""Gorilla: a distributed lock service that a team sets up in minutes."""
