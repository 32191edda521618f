"""Callbacks of both faces, on a real API: called while a lock is held, they may let it go."""

import asyncio
import threading
from typing import Any

import pytest

from tests.support.api import running_api, until
from tests.support.faces import FACES, face_of


@pytest.mark.parametrize("kind", FACES)
async def test_whoever_is_asked_for_its_lock_may_let_go_as_it_is_told(kind):
    done, before = threading.Event(), threading.active_count()

    def let_go(held: Any) -> None:
        if held.release_requested is not None:
            held.release()
            done.set()

    async def let_go_later(held: Any) -> None:
        if held.release_requested is not None:
            await held.release()
            done.set()

    async with running_api() as api, face_of(kind, api.base_url) as face:
        called = let_go if face.is_blocking else let_go_later
        lock = face.client.lock("job", timeout=0.9, on_extended=called)
        held = await face(lambda _client: lock.acquire())
        await face(lambda client: client.request_release("job", owner="bert"))
        await until(done.is_set)

        assert api.node.replica.table.holders("job") == ()
        assert held.lost is None
        await until(lambda: not [t for t in threading.enumerate() if "keeps" in t.name])
        assert threading.active_count() <= before + 2
    assert not [task for task in asyncio.all_tasks() if "keeps" in task.get_name()]
