"""Timing and compaction of the consensus, in Gorilla's words."""

import msgspec

from gorilla.consensus.library import Timing
from gorilla.consensus.pauses import TURN_S_MAX


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Timing (seconds) and compaction of the consensus."""

    heartbeat_s: float = 0.1
    election_s_min: float = 0.7
    election_s_max: float = 1.2
    fallback_s: float = 1.0
    """A leader that has not heard from a majority for so long steps down (H43)."""
    compact_entries: int = 20_000
    """Applied entries since the last snapshot that make a new one due."""
    compact_bytes: int = 64 * 1024 * 1024
    """Bytes of log, beside what is retained behind a snapshot, that make a new one due."""

    @property
    def turn_s(self) -> float:
        """Time between two turns at most (seconds)."""
        return min(self.heartbeat_s, TURN_S_MAX)

    @property
    def timing(self) -> Timing:
        """What of it the library is told."""
        return Timing(self.heartbeat_s, self.election_s_min, self.election_s_max, self.fallback_s)
