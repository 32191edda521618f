"""From the command line to the configuration."""

import argparse
import os
from pathlib import Path

from gorilla.config import ClusterConfig, MemberConfig, load_config, read_env_file
from gorilla.daemon.failures import CommandError, Exit

DEFAULT_CONFIG = Path("cluster.toml")


class Settings:
    """What a command works with.

    Attributes:
        config: The whole configuration.
        path: The file that it came from; None when the environment alone gave it.
        environment: The process's, on top of the ``--env-file``.

    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Read everything.

        Raises:
            ConfigError: Something in it is wrong.

        """
        env_file: Path | None = arguments.env_file
        given = read_env_file(env_file) if env_file is not None else {}
        self.environment = {**given, **{k: v for k, v in os.environ.items() if v or k not in given}}
        self.path = self._config_path(arguments)
        self.config: ClusterConfig = load_config(self.path, self.environment)

    def _config_path(self, arguments: argparse.Namespace) -> Path | None:
        chosen: Path | None = arguments.config
        if chosen is not None:
            return chosen
        named = self.environment.get("GORILLA_CONFIG")
        if named:
            return Path(named)
        if self.environment.get("GORILLA_MEMBERS") and not DEFAULT_CONFIG.exists():
            return None
        return DEFAULT_CONFIG

    def for_children(self) -> list[str]:
        """Return the arguments that give a child the same settings."""
        return [] if self.path is None else ["--config", str(self.path)]

    def member(self, name: str | None) -> MemberConfig:
        """Return the member called ``name``.

        Raises:
            CommandError: None was named, or there is no such member.

        """
        names = ", ".join(member.name for member in self.config.members)
        chosen = name or self.environment.get("GORILLA_NODE")
        if not chosen:
            raise CommandError(f"name the node with --node or GORILLA_NODE: {names}", Exit.USAGE)
        try:
            return self.config.member(chosen)
        except KeyError:
            raise CommandError(
                f"there is no member {chosen}: there are {names}", Exit.USAGE
            ) from None
