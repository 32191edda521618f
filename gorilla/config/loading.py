"""Reading the configuration: environment over ``.env`` file over TOML file over default."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from gorilla.config.problems import ConfigError, Problem, unknown_key
from gorilla.config.relations import relation_problems
from gorilla.config.secrets import Secret
from gorilla.config.sections import (
    SECTIONS,
    ClusterConfig,
    ClusterSection,
    ConsensusSection,
    DatabaseSection,
    HistorySection,
    HttpSection,
    JournalSection,
    LocksSection,
    LogSection,
    MemberConfig,
    NodeSection,
    SnapshotsSection,
)
from gorilla.config.values import Setting, ValueProblemError, read_value, settings_of

PREFIX: Final = "GORILLA_"
MEMBERS_VARIABLE: Final = "GORILLA_MEMBERS"
OTHER_VARIABLES: Final = ("GORILLA_CONFIG", "GORILLA_NODE", MEMBERS_VARIABLE)
"""Variables that are no key of the file: which file, which node, and the list of members."""

# Kubernetes describes every service to every container; a service named gorilla gives these.
FOREIGN_VARIABLE: Final = re.compile(
    r"^GORILLA_(TEST_.*|([A-Z0-9_]*_)?(SERVICE_(HOST|PORT)(_.*)?|PORT(_\d+_(TCP|UDP)(_.*)?)?))$"
)

OF_CLIENTS: Final = frozenset(
    f"GORILLA_{name}"
    for name in (
        "ATTEMPT", "CA_FILE", "CERT_FILE", "CLIENT_NAME", "CONFIG_FILE", "CONTEXT", "DEADLINE",
        "DEBUG", "ENDPOINT", "ENDPOINTS", "FENCING_TOKEN", "KEY_FILE", "LOCK_OWNER",
        "LOCK_RESOURCE", "LOCK_TOKEN", "OUTPUT", "SESSION", "TOKEN", "TOKEN_FILE", "WAIT_SLICE",
    )
)  # fmt: skip
"""What whoever asks a cluster, or runs under a lock, has in its environment."""


Section = TypeVar("Section", bound=msgspec.Struct)


def load_config(path: Path | None, environ: Mapping[str, str]) -> ClusterConfig:
    """Read and check the configuration.

    Args:
        path: The TOML file, or None to use the environment and the defaults alone.
        environ: The environment; only ``GORILLA_…`` is looked at. An empty variable is not set.

    Raises:
        ConfigError: Something is wrong; it lists every problem at once.

    """
    document = _read_file(path) if path is not None else {}
    reading = _Reading(document, {k: v for k, v in environ.items() if k.startswith(PREFIX) and v})
    config = reading.config()
    problems = reading.problems or relation_problems(config)
    if problems:
        raise ConfigError(problems, str(path or ""))
    return config


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        remedy = "there is no such file; copy cluster.example.toml, or name another with --config"
    except OSError as error:
        remedy = f"can't be read ({error.strerror})"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        remedy = f"is not valid TOML: {error}"
    raise ConfigError([Problem(str(path), "", remedy)])


class _Reading:
    """One pass over a document and an environment; collects the problems."""

    def __init__(self, document: dict[str, Any], variables: dict[str, str]) -> None:
        self.document = document
        self.variables = variables
        self.problems: list[Problem] = []
        self.read: set[str] = set(OTHER_VARIABLES)

    def config(self) -> ClusterConfig:
        cluster = self._section("cluster", ClusterSection)
        config = ClusterConfig(
            members=self._members(),
            cluster=self._with_secret(cluster),
            node=self._section("node", NodeSection),
            consensus=self._section("consensus", ConsensusSection),
            journal=self._section("journal", JournalSection),
            locks=self._section("locks", LocksSection),
            http=self._section("http", HttpSection),
            snapshots=self._section("snapshots", SnapshotsSection),
            history=self._section("history", HistorySection),
            database=self._section("database", DatabaseSection),
            log=self._section("log", LogSection),
        )
        self.problems += self._unknown()
        return config

    def _section(self, name: str, struct: type[Section]) -> Section:
        table = self.document.get(name, {})
        if not isinstance(table, dict):
            self.problems.append(Problem(name, "", f"must be a table: [{name}]"))
            table = {}
        return struct(**self._values(settings_of(name, struct), table, name))

    def _values(
        self, settings: list[Setting], table: dict[str, Any], where: str
    ) -> dict[str, object]:
        known = {setting.name for setting in settings}
        self.problems += [unknown_key(f"{where}.{k}", k, known) for k in table if k not in known]
        values: dict[str, object] = {}
        for setting in settings:
            self.read.add(setting.variable)
            try:
                value = self._value(setting, table, where)
            except ValueProblemError as error:
                self.problems.append(error.problem)
            else:
                if value is not msgspec.NODEFAULT:
                    values[setting.name] = value
        return values

    def _value(self, setting: Setting, table: dict[str, Any], where: str) -> object:
        """Return the value that is set, else NODEFAULT (the class then has the default)."""
        key = f"{where}.{setting.name}"
        if setting.variable in self.variables:
            raw = self.variables[setting.variable]
            return read_value(setting, raw, setting.variable, from_text=True)
        if setting.name in table:
            return read_value(setting, table[setting.name], key, from_text=False)
        if setting.default is msgspec.NODEFAULT:
            raise ValueProblemError(Problem(key, "", "is missing"))
        return msgspec.NODEFAULT

    def _members(self) -> tuple[MemberConfig, ...]:
        if MEMBERS_VARIABLE in self.variables:
            tables: Any = list(self._members_of_variable(self.variables[MEMBERS_VARIABLE]))
        else:
            tables = self.document.get("member", [])
        if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
            self.problems.append(Problem("member", "", "write each node as a table: [[member]]"))
            return ()
        found = [self._member(number, table) for number, table in enumerate(tables, start=1)]
        return tuple(member for member in found if member is not None)

    def _members_of_variable(self, text: str) -> Iterator[dict[str, Any]]:
        for part in filter(None, re.split(r"[\s,;]+", text)):
            name, equals, addresses = part.partition("=")
            http, slash, peer = addresses.partition("/")
            if not equals or not slash:
                remedy = "write name=http/peer, like n1=10.0.0.1:4000/10.0.0.1:4100, by commas"
                self.problems.append(Problem(MEMBERS_VARIABLE, repr(part), remedy))
                continue
            yield {"name": name, "http": http, "peer": peer}

    def _member(self, number: int, table: dict[str, Any]) -> MemberConfig | None:
        name = table.get("name")
        label = name if isinstance(name, str) and name else str(number)
        section = f"member_{label.replace('-', '_')}"
        settings = [
            Setting(section, s.name, s.type, s.meta, s.default)
            for s in settings_of("member", MemberConfig)
        ]
        values = self._values(settings, table, f"member {label}")
        if any(s.default is msgspec.NODEFAULT and s.name not in values for s in settings):
            return None
        return msgspec.convert(values, MemberConfig)

    def _unknown(self) -> Iterator[Problem]:
        sections = {*SECTIONS, "member"}
        for name in self.document:
            if name not in sections:
                yield unknown_key(name, name, sections)
        for name in sorted(self.variables):
            if name in self.read or name in OF_CLIENTS or FOREIGN_VARIABLE.match(name):
                continue
            near = unknown_key(name, name, self.read).remedy
            yield Problem(name, "", near if "mean" in near else "there is no such variable")

    def _with_secret(self, section: ClusterSection) -> ClusterSection:
        """Read ``secret_file``, so that nobody else needs to."""
        if not section.secret_file:
            return section
        if section.secret:
            self.problems.append(
                Problem("cluster.secret_file", "", "set either this or cluster.secret, not both")
            )
            return section
        try:
            text = Path(section.secret_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            self.problems.append(
                Problem(
                    "cluster.secret_file", repr(section.secret_file), f"can't be read ({reason})"
                )
            )
            return section
        if not text:
            self.problems.append(
                Problem("cluster.secret_file", repr(section.secret_file), "the file is empty")
            )
        return msgspec.structs.replace(section, secret=Secret(text))
