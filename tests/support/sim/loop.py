"""An asyncio event loop per node on virtual time, so that the real coroutines run as they are.

Each has its node's clock, stands still while its node is paused and is gone when it is killed.
"""

import asyncio
import contextvars
import random
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from typing_extensions import override

Post = Callable[..., object]
"""``post(delay_s, call, *args)``: run on the node after true seconds, unless it is gone."""

ITERATION_S_MAX = 0.0005
"""What one turn of the loop may take."""
TIMER_LATE_S_MAX = 0.001
WORK_S_MAX = 0.05
"""What work in a thread may take, for each of its two halves."""


class NodeLoop(asyncio.AbstractEventLoop):
    """As much of an event loop as coroutines without sockets need."""

    def __init__(
        self,
        post: Post,
        monotonic: Callable[[], float],
        rate: float,
        rng: random.Random,
        on_error: Callable[[str, BaseException | None], None],
    ) -> None:
        self._post = post
        self._monotonic = monotonic
        self._rate = rate
        self._rng = rng
        self._on_error = on_error
        self._ready: deque[asyncio.Handle] = deque()
        self._draining = False
        self._closed = False
        self._tasks: dict[asyncio.Task[Any], None] = {}

    # Time and callbacks

    @override
    def time(self) -> float:
        return self._monotonic()

    @override
    def call_soon(  # type: ignore[override]  # typeshed ties args to callback with a TypeVarTuple
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        if not self._draining:
            self._draining = True
            self._post(self._rng.uniform(0.0, ITERATION_S_MAX), self._drain)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # there is one thread

    def _drain(self) -> None:
        self._draining = False
        for _ in range(len(self._ready)):  # what they add runs next turn
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()
        if self._ready and not self._draining:
            self._draining = True
            self._post(self._rng.uniform(0.0, ITERATION_S_MAX), self._drain)

    @override
    def call_at(  # type: ignore[override]  # as call_soon
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        late_s = self._rng.uniform(0.0, TIMER_LATE_S_MAX)
        self._post(max(when - self._monotonic(), 0.0) / self._rate + late_s, self._fire, handle)
        return handle

    @override
    def call_later(  # type: ignore[override]  # as call_soon
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._monotonic() + delay, callback, *args, context=context)

    def _fire(self, handle: asyncio.TimerHandle) -> None:
        if not handle.cancelled():
            handle._run()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing to do: a cancelled timer is passed over when it is due."""

    # Futures and tasks

    @override
    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    @override
    def create_task(
        self,
        coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)
        return task

    @override
    def run_in_executor(  # type: ignore[override]  # one kind of executor: a later event
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run ``func`` somewhat later, and tell of it later still: others work in between."""
        future = self.create_future()
        self._post(self._rng.uniform(0.0, WORK_S_MAX), self._work, future, func, args)
        return future

    def _work(
        self, future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        tell: Callable[[Any], None] = future.set_result
        try:
            result: Any = func(*args)
        except Exception as error:
            tell, result = future.set_exception, error
        self._post(self._rng.uniform(0.0, WORK_S_MAX), tell, result)

    @override
    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._closed:
            self._on_error(str(context.get("message")), context.get("exception"))

    # State

    @override
    def is_running(self) -> bool:
        return not self._closed

    @override
    def is_closed(self) -> bool:
        return self._closed

    @override
    def get_debug(self) -> bool:
        return False

    def kill(self) -> None:
        """The process is gone: nothing of it runs any more, and nobody hears of its tasks."""
        self._closed = True
        self._ready.clear()
        for task in list(self._tasks):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # its process died
            coroutine = task.get_coro()
            try:
                coroutine.close()
            except (RuntimeError, ValueError):
                self._on_error("a coroutine outlived its process", None)
        self._tasks.clear()
