"""Snapshot install: bringing a follower up that is behind what the leader's log still holds.

It runs beside the library, which would send a whole snapshot in one tick, acknowledge one that it
failed to load, and take an old one over a newer state (H1, H10, H11, H36). While a snapshot is on
its way the library believes that follower disconnected; every message of the transfer counts as a
heartbeat there, every answer as a sign of life here.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Final

from gorilla.consensus.ports import Message, Offload
from gorilla.consensus.snapshots import (
    CorruptSnapshotError,
    Snapshot,
    SnapshotGoneError,
    SnapshotMeta,
    SnapshotReceiver,
    SnapshotStore,
)

log = logging.getLogger(__name__)

CHUNK_BYTES: Final = 256 * 1024
WINDOW_BYTES: Final = 4 * CHUNK_BYTES

Tell = Callable[[str, Message], None]


class _Transfer:
    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.sent = 0
        self.acked = 0
        self.told_at = float("-inf")


class Shipper:
    """The leader's side: sends its newest snapshot to followers that need one."""

    def __init__(
        self, store: SnapshotStore, tell: Tell, heartbeat_s: float, offload: Offload
    ) -> None:
        """Send from ``store`` through ``tell``, at least every ``heartbeat_s`` seconds.

        ``offload`` runs the verification of a file that is doubted.
        """
        self._store = store
        self._tell = tell
        self._heartbeat_s = heartbeat_s
        self._offload = offload
        self._is_doubted = False
        self._transfers: dict[str, _Transfer] = {}

    def wants(self, peer: str) -> bool:
        """Start a transfer to ``peer``; returns False when there is no snapshot to send."""
        snapshot = self._store.latest()
        if snapshot is None:
            return False
        log.info("sending snapshot %d to %s (%d bytes)", snapshot.meta.index, peer, snapshot.size)
        self._transfers[peer] = _Transfer(snapshot)
        return True

    def passed(self, peer: str, index: int) -> None:
        """Take note that ``peer`` has all up to ``index``, which the log no longer continues.

        The snapshot on its way was replaced meanwhile: its successor is sent.
        """
        transfer = self._transfers.get(peer)
        if transfer is not None and transfer.snapshot.meta.index <= index:
            self.wants(peer)

    def drop(self, peer: str) -> None:
        """End the transfer to ``peer``, finished or not."""
        self._transfers.pop(peer, None)

    def clear(self) -> None:
        """End all transfers: this node leads no longer."""
        self._transfers.clear()

    def step(self, now: float, term: int) -> None:
        """Send what the windows allow, and heartbeats where nothing moves."""
        for peer in list(self._transfers):
            try:
                self._advance(peer, self._transfers[peer], now, term)
            except SnapshotGoneError:  # a newer snapshot has taken its place meanwhile
                self.wants(peer)

    def _advance(self, peer: str, transfer: _Transfer, now: float, term: int) -> None:
        limit = min(transfer.snapshot.size, transfer.acked + WINDOW_BYTES)
        while transfer.sent < limit:
            size = min(CHUNK_BYTES, limit - transfer.sent)
            self._send(peer, transfer, term, transfer.snapshot.read(transfer.sent, size))
            transfer.sent += size
            transfer.told_at = now
        if now - transfer.told_at >= self._heartbeat_s:
            self._send(peer, transfer, term, b"")
            transfer.told_at = now

    def _send(self, peer: str, transfer: _Transfer, term: int, data: bytes) -> None:
        self._tell(
            peer,
            {
                "type": "install",
                "term": term,
                "index": transfer.snapshot.meta.index,
                "total": transfer.snapshot.size,
                "offset": transfer.sent,
                "data": data,
            },
        )

    def acked(self, peer: str, message: Message) -> None:
        """Take the follower's word on how far it is; it may ask to go back."""
        transfer = self._transfers.get(peer)
        if transfer is None or message["index"] != transfer.snapshot.meta.index:
            return
        wanted = message["offset"]
        if message["again"]:
            if not wanted and transfer.sent == transfer.snapshot.size:
                self._doubt(transfer.snapshot)
            transfer.sent = transfer.acked = min(wanted, transfer.snapshot.size)
        else:
            transfer.acked = max(transfer.acked, min(wanted, transfer.sent))

    def _doubt(self, snapshot: Snapshot) -> None:
        """Look at the file again: a follower got all of it, and could not take it.

        A damaged one stops this node: it would send it for ever, and can't start from it either.
        """
        if self._is_doubted:
            return
        self._is_doubted = True

        def verify() -> None:
            self._store.verify(snapshot.name, snapshot.size)

        def done(error: BaseException | None) -> None:
            self._is_doubted = False
            if error is not None and not isinstance(error, FileNotFoundError):  # it was replaced
                raise error

        self._offload(verify, done)


class Installer:
    """The follower's side: collects a snapshot, then hands it over, verified and decoded.

    Both run beside the loop, from the file that is not published yet: whatever happens meanwhile,
    the node goes on with the state that it has (H39).
    """

    def __init__(
        self,
        store: SnapshotStore,
        offload: Offload,
        tell: Tell,
        decode: Callable[[Iterator[bytes]], object],
        install: Callable[[SnapshotMeta, SnapshotReceiver, object], None],
    ) -> None:
        """Collect into ``store``.

        Args:
            store: The local snapshots.
            offload: Runs ``decode`` and the verification.
            tell: Answers the sender.
            decode: Makes a state of a snapshot's chunks; called beside the loop.
            install: Gets a verified snapshot, to publish or to abort, and its decoded state.

        """
        self._store = store
        self._offload = offload
        self._tell = tell
        self._decode = decode
        self._install = install
        self._receiver: SnapshotReceiver | None = None
        self._source: tuple[str, int, int] = ("", 0, 0)
        """Sender, index and size of what is being received: pieces of another don't fit."""
        self._offset = 0
        self._is_finishing = False

    def receive(self, peer: str, message: Message) -> None:
        """Take one piece, and answer how far the snapshot is here."""
        source = (peer, message["index"], message["total"])
        if self._is_finishing:
            self._answer(peer, message, again=False)
            return
        if self._receiver is None or source != self._source:
            self._begin(source)
        data, again = message["data"], False
        if data and message["offset"] == self._offset and self._receiver is not None:
            self._receiver.write(message["offset"], data)
            self._offset += len(data)
        elif message["offset"] > self._offset:
            again = True
        self._answer(peer, message, again=again)
        if self._offset == message["total"]:
            self._finish()

    def _begin(self, source: tuple[str, int, int]) -> None:
        self.abort()
        _, _, total = self._source = source
        self._receiver = self._store.receive(total)
        self._offset = 0

    def _answer(self, peer: str, message: Message, *, again: bool) -> None:
        is_this = (peer, message["index"], message["total"]) == self._source
        self._tell(
            peer,
            {
                "type": "installing",
                "term": message["term"],
                "index": message["index"],
                "offset": self._offset if is_this else 0,
                "again": again,
            },
        )

    def _finish(self) -> None:
        receiver = self._receiver
        assert receiver is not None
        self._is_finishing = True
        found: list[tuple[SnapshotMeta, object]] = []

        def prepare() -> None:
            meta = receiver.verify()
            found.append((meta, self._decode(receiver.chunks())))

        def done(error: BaseException | None) -> None:
            self._is_finishing = False
            self._receiver = None
            if error is None:
                meta, state = found.pop()
                self._install(meta, receiver, state)
            elif isinstance(error, CorruptSnapshotError):
                log.error(
                    "the snapshot that %s sent is damaged at byte %d: %s",
                    self._source[0],
                    error.offset,
                    error.problem,
                )
            else:
                raise error

        self._offload(prepare, done)

    def abort(self) -> None:
        """Give up what has arrived so far."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None and not self._is_finishing:
            receiver.abort()
