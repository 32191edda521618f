"""``gorilla``, the command line for people and scripts; it talks HTTP through the client."""
