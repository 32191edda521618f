"""Which node to ask next, and how long to pause when none of them could."""

import random
import threading
from collections.abc import Sequence
from typing import Final

from gorilla.client.settings import endpoint_of

PAUSE_S_MIN: Final = 0.05
PAUSE_S_MAX: Final = 1.0
"""The longest random pause after the first, and after any, round of all endpoints (seconds)."""

KEYS_SPARED_S: Final = 30.0
"""For how long writes go without a key once the cluster can't remember more (seconds)."""

PLACES_SPARED_S: Final = 30.0
"""For how long nobody asks for a place to be kept once a node did not know what that is."""

_DOUBLINGS_MAX: Final = 16


class Endpoints:
    """The endpoints of a client, and what is known of them, shared by everything that it asks."""

    def __init__(self, urls: Sequence[str], rng: random.Random) -> None:
        """Begin with a random one, so that many clients ask all nodes.

        Args:
            urls: At least one.
            rng: Source of the first choice and of all pauses.

        """
        self._rng = rng
        self._guard = threading.Lock()
        self._urls = rng.sample(urls, len(urls))
        self._keys_again_s = float("-inf")
        self._places_again_s = float("-inf")

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._urls)

    def order(self) -> list[str]:
        """Return all of them: the last good one first, the one that failed last at the end."""
        with self._guard:
            return list(self._urls)

    def good(self, url: str) -> None:
        """Note that an endpoint answered: it is the first to be asked from now on."""
        self._move(url, 0)

    def failed(self, url: str) -> None:
        """Note that an endpoint could not be asked, or is not fit: it is the last from now on."""
        self._move(url, len(self._urls))

    def _move(self, url: str, place: int) -> None:
        with self._guard:
            if url in self._urls:
                self._urls.remove(url)
                self._urls.insert(place, url)

    def spares_keys(self, now_s: float) -> bool:
        """Return whether writes go without a key: the cluster said of late that it has no room."""
        return now_s < self._keys_again_s

    def spare_keys(self, now_s: float) -> None:
        """Note that the cluster has no room for further keys."""
        self._keys_again_s = now_s + KEYS_SPARED_S

    def spares_places(self, now_s: float) -> bool:
        """Return whether no place is asked to be kept: a node said of late that it can't."""
        return now_s < self._places_again_s

    def spare_places(self, now_s: float) -> None:
        """Note that a node keeps no places."""
        self._places_again_s = now_s + PLACES_SPARED_S

    def pause_s(self, rounds: int) -> float:
        """Return how long to pause after so many rounds (from 1): full jitter, ever longer."""
        doublings = min(rounds - 1, _DOUBLINGS_MAX)
        return self._rng.uniform(0.0, min(PAUSE_S_MAX, PAUSE_S_MIN * 2**doublings))

    def only(self, url: str) -> "Endpoints":
        """Return one endpoint alone, be it among these or not.

        Raises:
            ValueError: It is no URL.

        """
        return Endpoints([endpoint_of(url)], self._rng)
