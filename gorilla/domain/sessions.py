"""Sessions: what holds many leases with one keepalive, and ends them all at once."""

from collections.abc import Iterable

from gorilla.domain.outcomes import Lease, Session


class Sessions:
    """Sessions by id and by number, and which leases live in each."""

    def __init__(self, sessions: Iterable[Session] = ()) -> None:
        """Take sessions in order of their numbers."""
        self._sessions: dict[str, Session] = {}
        self._ids: dict[int, str] = {}
        self._leases: dict[int, dict[int, str]] = {}
        for session in sessions:
            self.add(session)

    def __len__(self) -> int:
        """Return how many sessions there are."""
        return len(self._sessions)

    def get(self, session_id: str) -> Session | None:
        """Return the session that ``session_id`` proves, or None."""
        return self._sessions.get(session_id)

    def numbered(self, number: int) -> Session:
        """Return the session of ``number``, which there is."""
        return self._sessions[self._ids[number]]

    def add(self, session: Session) -> None:
        """Let a session begin."""
        self._sessions[session.id] = session
        self._ids[session.number] = session.id

    def replace(self, session: Session) -> None:
        """Let ``session`` stand for the one of its id."""
        self._sessions[session.id] = session

    def remove(self, session: Session) -> None:
        """Forget a session; no lease lives in it any more."""
        del self._sessions[session.id]
        del self._ids[session.number]

    def attach(self, lease: Lease) -> None:
        """Note that ``lease`` lives in its session."""
        self._leases.setdefault(lease.session, {})[lease.fencing_token] = lease.lock

    def detach(self, lease: Lease) -> None:
        """Note that ``lease`` has ended."""
        leases = self._leases[lease.session]
        del leases[lease.fencing_token]
        if not leases:
            del self._leases[lease.session]

    def lease_count(self, number: int) -> int:
        """Return how many leases live in a session."""
        return len(self._leases.get(number, ()))

    def leases(self, number: int) -> list[tuple[int, str]]:
        """Return (fencing token, lock) of what lives in a session, the oldest first."""
        return sorted(self._leases.get(number, {}).items())

    def copy_sessions(self) -> list[Session]:
        """Return the sessions as they are now, in order of their numbers."""
        return list(self._sessions.values())
