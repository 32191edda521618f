"""The links to the other nodes: frames, handshake, connections. Nothing here knows Raft."""
