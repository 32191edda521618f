"""``.env`` files: one ``NAME=value`` a line, as shells and containers read them."""

from pathlib import Path

from gorilla.config.problems import ConfigError, Problem


def read_env_file(path: Path) -> dict[str, str]:
    """Read ``path``: comments, ``export`` and one pair of quotes around a value are understood.

    Raises:
        ConfigError: It can't be read, or a line is no assignment.

    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise ConfigError([Problem(str(path), "", f"can't be read ({reason})")]) from error
    values, problems = {}, []
    for number, line in enumerate(lines, start=1):
        text = line.strip().removeprefix("export ").lstrip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            # The line itself may hold a secret, so it is not repeated.
            problems.append(Problem(f"line {number}", "", "is no assignment; write NAME=value"))
            continue
        values[name.strip()] = _unquoted(value.strip())
    if problems:
        raise ConfigError(problems, str(path))
    return values


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value.split(" #", 1)[0].rstrip()
