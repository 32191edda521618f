"""Clients that code generators make of the API document, tried on a real node."""
