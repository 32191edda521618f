"""Replacing names for the length of a run, and putting them back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(target: object, **values: Any) -> Iterator[None]:
    """Set attributes of a module or class, and restore them."""
    before = {name: getattr(target, name) for name in values}
    for name, value in values.items():
        setattr(target, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(target, name, value)
