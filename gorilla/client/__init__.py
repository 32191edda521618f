"""The Python client: locks, sessions, elections and everything else that the API serves.

``Client`` blocks, ``AsyncClient`` is for asyncio; they are two faces of one logic.
"""
