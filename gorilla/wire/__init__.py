"""The published contract: request and response bodies, problem codes, and how fields are read."""
