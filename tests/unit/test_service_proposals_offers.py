"""Numbers of offers: an answer to an earlier process of a node must not fit a later one's."""

import asyncio

from typing_extensions import override

from gorilla.domain.commands import Release
from gorilla.service.proposals import Proposals
from tests.support.service import MemoryConsensus, on_virtual_time, turns


class Noting(MemoryConsensus):
    """Notes the numbers of the offers, and takes none."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.numbers: list[int] = []

    @override
    def offer(self, offer: int, batch: bytes) -> bool:
        self.numbers.append(offer)
        return False


async def first_offer_of(origin: str) -> int:
    loop = asyncio.get_running_loop()
    consensus = Noting(loop)
    proposals = Proposals(consensus, loop, origin)
    proposals.propose(Release("db", "secret"), loop.time() + 5, lambda _: None)
    await turns()
    proposals.close()
    return consensus.numbers[0]


@on_virtual_time
async def test_a_restarted_process_does_not_number_its_offers_like_the_one_before():
    numbers = [await first_offer_of(f"process-{n}") for n in range(20)]

    assert len(set(numbers)) == 20
    assert min(abs(a - b) for a in numbers for b in numbers if a != b) > 1_000_000


@on_virtual_time
async def test_the_numbers_depend_on_nothing_but_the_process():
    assert await first_offer_of("process") == await first_offer_of("process")
