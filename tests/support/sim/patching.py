"""Replacing names for the length of a run, and putting them back."""

import gc
import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any


@contextmanager
def replaced(target: object, **values: Any) -> Iterator[None]:
    """Set attributes of a module or class, and restore them."""
    # As it stands there: what a class method is bound to is not what is put back.
    before = {name: inspect.getattr_static(target, name) for name in values}
    for name, value in values.items():
        setattr(target, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(target, name, value)


@contextmanager
def both(*parts: AbstractContextManager[None]) -> Iterator[None]:
    """Enter all of them, and leave them in the opposite order."""
    with ExitStack() as stack:
        for part in parts:
            stack.enter_context(part)
        yield


@contextmanager
def without_collector() -> Iterator[None]:
    """Let the garbage of a run lie until it is over: looking for it takes a tenth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
