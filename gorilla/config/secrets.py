"""Values that must never be seen: not in a log line, a traceback, an error or a ``repr``."""

from typing import final

from typing_extensions import override


@final
class Secret:
    """A string that prints as stars. Empty means that none is set (then it is false)."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        """Keep ``value``."""
        self._value = value

    def reveal(self) -> str:
        """Return the value itself, for the one place that needs it."""
        return self._value

    def __bool__(self) -> bool:
        """Tell whether one is set."""
        return bool(self._value)

    @override
    def __repr__(self) -> str:
        """Show that something is set, never what."""
        return "***" if self._value else "(not set)"

    @override
    def __eq__(self, other: object) -> bool:
        """Compare the values."""
        return isinstance(other, Secret) and other.reveal() == self._value

    @override
    def __hash__(self) -> int:
        """Hash the value."""
        return hash(self._value)
