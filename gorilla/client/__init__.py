"""The Python client: locks, sessions, elections and everything else that the API serves.

``Client`` blocks, ``AsyncClient`` is for asyncio; they are two faces of one logic.
``AsyncClient`` needs aiohttp (``pip install gorilla-lock[async]``), and is loaded when it is asked
for.
"""

from typing import TYPE_CHECKING

from gorilla.client.client_blocking import Client
from gorilla.client.errors import (
    AlreadyHeld,
    ChangeRefused,
    ClosedError,
    Conflict,
    CoolingDown,
    Deadlock,
    Forbidden,
    ForkedError,
    GorillaError,
    IdempotencyConflict,
    InvalidRequest,
    LockHeld,
    LockLost,
    LockNotFound,
    LossReason,
    MemberNotFound,
    ModeConflict,
    NotFound,
    NotOwner,
    OutcomeUnknown,
    PolicyRefused,
    QuotaExceeded,
    RateLimited,
    RequestRefused,
    ServerError,
    SessionLost,
    SessionNotFound,
    TimeoutTooShort,
    Unauthenticated,
    Unavailable,
    UnexpectedAnswer,
    WaitReplaced,
    WaitTimeout,
)
from gorilla.client.fencing import FencingGuard, OlderHolderActing, StaleFencingToken
from gorilla.client.settings import ClientSettings

if TYPE_CHECKING:
    from gorilla.client.client_async import AsyncClient

__all__ = [
    "AlreadyHeld",
    "AsyncClient",
    "ChangeRefused",
    "Client",
    "ClientSettings",
    "ClosedError",
    "Conflict",
    "CoolingDown",
    "Deadlock",
    "FencingGuard",
    "Forbidden",
    "ForkedError",
    "GorillaError",
    "IdempotencyConflict",
    "InvalidRequest",
    "LockHeld",
    "LockLost",
    "LockNotFound",
    "LossReason",
    "MemberNotFound",
    "ModeConflict",
    "NotFound",
    "NotOwner",
    "OlderHolderActing",
    "OutcomeUnknown",
    "PolicyRefused",
    "QuotaExceeded",
    "RateLimited",
    "RequestRefused",
    "ServerError",
    "SessionLost",
    "SessionNotFound",
    "StaleFencingToken",
    "TimeoutTooShort",
    "Unauthenticated",
    "Unavailable",
    "UnexpectedAnswer",
    "WaitReplaced",
    "WaitTimeout",
]


def __getattr__(name: str) -> object:
    """Load what not every program has the packages for."""
    if name == "AsyncClient":
        try:
            from gorilla.client.client_async import AsyncClient  # noqa: PLC0415  it needs aiohttp
        except ModuleNotFoundError as error:
            if error.name not in {"aiohttp", "yarl"}:
                raise
            raise ModuleNotFoundError(
                f"AsyncClient needs {error.name}: pip install 'gorilla-lock[async]'",
                name=error.name,
            ) from error
        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
