"""One value: from a TOML value or an environment string to the type of its field."""

from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from gorilla.config.problems import Problem
from gorilla.config.secrets import Secret

VALUE_CHARS_MAX = 60


class Setting(msgspec.Struct, frozen=True):
    """A field of a section, taken apart."""

    section: str
    name: str
    type: Any
    meta: Meta
    default: Any
    """``msgspec.NODEFAULT`` where one must be given."""

    @property
    def key(self) -> str:
        """Its name in messages."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"GORILLA_{self.section}_{self.name}".upper()

    @property
    def is_secret(self) -> bool:
        """Whether its value is never shown."""
        return self.type is Secret


def settings_of(section: str, struct: type[msgspec.Struct]) -> list[Setting]:
    """Return the settings of a section, in their order."""
    hints = get_type_hints(struct, include_extras=True)
    found = []
    for field in msgspec.structs.fields(struct):
        assert get_origin(hints[field.name]) is Annotated, f"{section}.{field.name} has no Meta"
        kind, meta = get_args(hints[field.name])
        found.append(Setting(section, field.name, kind, meta, field.default))
    return found


def read_value(setting: Setting, raw: object, source: str, *, from_text: bool) -> object:
    """Convert ``raw``; a string from the environment may stand for a number.

    Raises:
        ValueProblemError: It does not fit; the problem is in it.

    """
    if setting.is_secret and isinstance(raw, str):
        return Secret(raw)
    try:
        value: object = msgspec.convert(
            raw, Annotated[setting.type, setting.meta], strict=not from_text
        )
    except msgspec.ValidationError as error:
        shown = "" if setting.is_secret else _short(raw)
        raise ValueProblemError(Problem(source, shown, expectation(setting))) from error
    return value


class ValueProblemError(Exception):
    """Carries the problem of one value."""

    def __init__(self, problem: Problem) -> None:
        """Keep it."""
        super().__init__(str(problem))
        self.problem = problem


def expectation(setting: Setting) -> str:
    """Say what may be written, with the default as the example."""
    if get_origin(setting.type) is Literal:
        return f"write one of {', '.join(get_args(setting.type))}"
    if setting.type is bool:
        return f"write true or false, like {plain(setting.default)}"
    if setting.type in {int, float}:
        kind = "a whole number" if setting.type is int else "a number"
        return f"write {kind} {bounds(setting.meta)}, like {plain(setting.default)}"
    if setting.meta.pattern:
        return "write a name of 1 to 63 letters, digits, - and _"
    return "write a text in quotes"


def bounds(meta: Meta) -> str:
    """Say the range of a number."""
    low = f"from {meta.ge}" if meta.ge is not None else f"above {meta.gt}"
    return f"{low} to {meta.le}"


def plain(value: object) -> str:
    """Write a default as the operator would: whole seconds without a fraction."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _short(raw: object) -> str:
    text = repr(raw)
    return text if len(text) <= VALUE_CHARS_MAX else text[: VALUE_CHARS_MAX - 1] + "…"
