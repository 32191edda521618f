"""Which node to ask next, and how long to pause when none of them could."""

import random
import threading
from collections.abc import Sequence
from typing import Final

from gorilla.client.settings import endpoint_of

FAILED_S: Final = 5.0
"""For how long an endpoint that failed is asked last."""

PAUSE_S_MIN: Final = 0.05
PAUSE_S_MAX: Final = 1.0
"""The longest random pause after the first, and after any, round of all endpoints (seconds)."""

_DOUBLINGS_MAX: Final = 16


class Endpoints:
    """The endpoints of a client, shared by everything that it asks."""

    def __init__(self, urls: Sequence[str], rng: random.Random) -> None:
        """Begin with a random one, so that many clients ask all nodes.

        Args:
            urls: At least one.
            rng: Source of the first choice and of all pauses.

        """
        self._rng = rng
        self._guard = threading.Lock()
        self._urls = rng.sample(urls, len(urls))
        self._failed_s: dict[str, float] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._urls)

    def order(self, now_s: float) -> list[str]:
        """Return all of them: the last good one first, those that failed of late last."""
        with self._guard:
            failed = {url: at_s for url, at_s in self._failed_s.items() if now_s - at_s < FAILED_S}
            return sorted(self._urls, key=lambda url: failed.get(url, float("-inf")))

    def good(self, url: str) -> None:
        """Note that an endpoint answered: it is the first to be asked from now on."""
        with self._guard:
            self._failed_s.pop(url, None)
            if url in self._urls and self._urls[0] != url:
                self._urls.remove(url)
                self._urls.insert(0, url)

    def failed(self, url: str, now_s: float) -> None:
        """Note that an endpoint could not be asked, or said that it is not fit."""
        with self._guard:
            self._failed_s[url] = now_s

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
