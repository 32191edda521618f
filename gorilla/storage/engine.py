"""Connections to PostgreSQL: few, checked before use, and never waited for without end."""

from typing import Any, Final

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

POOL_SIZE: Final = 2
POOL_OVERFLOW: Final = 2
POOL_TIMEOUT_S: Final = 10
RECYCLE_S: Final = 1800
CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_MS: Final = 30_000
LOCK_TIMEOUT_MS: Final = 10_000
UNANSWERED_MS: Final = 20_000
"""How long sent bytes may stay unacknowledged before the kernel gives the connection up."""


def connect_arguments(url: URL) -> dict[str, Any]:
    """Return psycopg's connection options: every way to wait has its bound.

    What the URL itself sets (``?connect_timeout=10``) is left to it.
    """
    bounds = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "gorilla",
        "tcp_user_timeout": UNANSWERED_MS,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        # Poolers between us and the server don't keep prepared statements.
        "prepare_threshold": None,
    }
    return {name: value for name, value in bounds.items() if name not in url.query}


def make_engine(url: URL) -> AsyncEngine:
    """Make the engine. It connects at first use, so making it works with the database down."""
    return create_async_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_TIMEOUT_S,
        pool_recycle=RECYCLE_S,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args=connect_arguments(url),
    )
