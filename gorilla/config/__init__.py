"""The configuration of a node: typed, frozen, checked as a whole."""

from gorilla.config.addresses import Address, parse_address
from gorilla.config.dotenv import read_env_file
from gorilla.config.loading import load_config
from gorilla.config.problems import ConfigError, Problem
from gorilla.config.secrets import Secret
from gorilla.config.sections import (
    ClusterConfig,
    ClusterSection,
    ConsensusSection,
    DatabaseSection,
    HttpSection,
    JournalSection,
    LocksSection,
    LogSection,
    MemberConfig,
    NodeSection,
    SnapshotsSection,
)

__all__ = [
    "Address",
    "ClusterConfig",
    "ClusterSection",
    "ConfigError",
    "ConsensusSection",
    "DatabaseSection",
    "HttpSection",
    "JournalSection",
    "LocksSection",
    "LogSection",
    "MemberConfig",
    "NodeSection",
    "Problem",
    "Secret",
    "SnapshotsSection",
    "load_config",
    "parse_address",
    "read_env_file",
]
