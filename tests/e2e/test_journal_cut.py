"""The journal of a real node, cut where a power loss may cut it: nothing before the cut is lost."""

import asyncio
import random
import secrets
import shutil

import pytest

from gorilla.consensus.disk import DirectoryDisk
from gorilla.consensus.identity import load
from gorilla.consensus.journal import Entry
from gorilla.consensus.journal.records import (
    FRAME_MAGIC,
    HEADER_MAGIC,
    Append,
    decode_frame,
    decode_records,
    frame_seed,
)
from tests.support.journals import disk_with, open_journal
from tests.support.nodes import Nodes
from tests.support.real_cluster import acquire, call, running_nodes, until_equal
from tests.support.writers import Account, Session, Writers, lost, missing_from_lists

pytestmark = pytest.mark.e2e

SEED = secrets.token_hex(4)
CUT_BYTES = 2048
CUTS_ON_DISK = 12
ROUNDS = 2
PREFIX = "journal-"


@pytest.fixture(scope="module")
def stopped_node(tmp_path_factory):
    """The data directory of a node that was stopped after some writes."""
    with running_nodes(tmp_path_factory.mktemp("cluster")) as nodes:
        for number in range(25):
            lock = acquire(nodes.url("n1"), f"r-{number}")
            if number % 5 == 0:
                path = f"/api/v1/locks/r-{number}/{lock['token']}"
                assert call(nodes.url("n3"), "DELETE", path).status == 204
        assert nodes.stop("n2") == [0]
        yield nodes.data("n2")


def newest_journal(directory):
    return max(path for path in directory.iterdir() if path.name.startswith(PREFIX))


def frames_of(data: bytes, node: str) -> list[tuple[int, int]]:
    """Where each frame ends, and the largest index of an entry up to there."""
    header = decode_frame(HEADER_MAGIC, data, 0)
    assert header is not None
    ends, end, index = [(header.end, 0)], header.end, 0
    while end < len(data):
        frame = decode_frame(FRAME_MAGIC, data, end, frame_seed(node))
        assert frame is not None
        appended = [one.at for one in decode_records(frame.payload) if isinstance(one, Append)]
        end, index = frame.end, max([index, *appended])
        ends.append((end, index))
    return ends


def entries(journal) -> list[Entry]:
    return list(journal[:])


def test_a_cut_at_any_byte_of_the_last_records_costs_nothing_before_it(stopped_node):
    files = {path.name: path.read_bytes() for path in stopped_node.glob(PREFIX + "*")}
    with DirectoryDisk(stopped_node) as disk:
        node = load(disk).node_id
    newest = max(files)
    data = files[newest]
    whole = entries(open_journal(disk_with(files), node=node))
    ends = frames_of(data, node)
    assert len(data) > CUT_BYTES
    assert len(whole) > 25

    for cut in range(len(data) - 1, len(data) - CUT_BYTES, -1):
        index = max(index for end, index in ends if end <= cut)
        journal = open_journal(disk_with({**files, newest: data[:cut]}), node=node, must_exist=True)
        assert entries(journal) == [entry for entry in whole if entry[1] <= index], cut
        assert journal.last_index == index


def test_a_cut_file_on_a_real_disk_is_mended_once_and_then_goes_on(stopped_node, tmp_path):
    rng = random.Random(SEED)
    size = newest_journal(stopped_node).stat().st_size

    for number, cut in enumerate(rng.sample(range(size - CUT_BYTES, size), CUTS_ON_DISK)):
        copy = tmp_path / str(number)
        shutil.copytree(stopped_node, copy)
        path = newest_journal(copy)
        with path.open("r+b") as file:
            file.truncate(cut)
        with DirectoryDisk(copy) as disk:
            node = load(disk).node_id
            first = open_journal(disk, node=node, must_exist=True)
            kept, index, term = entries(first), first.last_index, first.last_term
            first.add(b"more", index + 1, term)
            first._destroy()
            second = open_journal(disk, node=node, must_exist=True)
            assert entries(second) == [*kept, (b"more", index + 1, term)], (SEED, cut)
            assert second.recovered.bytes_cut == 0
            second._destroy()


async def test_a_node_whose_newest_records_are_cut_off_gets_them_from_the_others(tmp_path):
    rng = random.Random(SEED)
    nodes = Nodes(tmp_path)
    account = Account()
    urls = [nodes.url(name) for name in nodes.names]
    try:
        nodes.start()
        await nodes.until_ready()
        for number in range(ROUNDS):
            seed = f"{SEED}-{number}"
            async with Session(urls) as session, Writers(session, account, count=16, seed=seed):
                await asyncio.sleep(1.0)
            # The others must have it all: only then is one node's loss a minority's loss.
            await until_equal(nodes)
            nodes.kill(*nodes.names)
            cut_off(nodes, rng.choice(nodes.names), rng)
            nodes.start()
            await nodes.until_ready()
            async with Session(urls) as session:
                problems = await lost(session, account, account.held.values())
                problems += await missing_from_lists(session, account)
            assert problems + account.unexpected == [], SEED
            assert len(account.held) > 20
    finally:
        nodes.close()


def cut_off(nodes: Nodes, name: str, rng: random.Random) -> None:
    path = newest_journal(nodes.data(name))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size - rng.randrange(1, min(CUT_BYTES, size // 2)))
