"""Example files and reference pages say what the code says: each setting has one place."""

import re
import tomllib
from pathlib import Path

import pytest

from gorilla import observability
from gorilla.config import load_config, read_env_file, reference
from gorilla.config.sections import SECTIONS
from gorilla.config.values import settings_of
from gorilla.domain.limits import TTL_MS_MAX

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("path", "write"),
    [
        ("cluster.example.toml", reference.toml_example),
        (".env.example", reference.env_example),
        ("docs/reference/configuration.md", reference.markdown_page),
        ("docs/reference/metrics.md", observability.reference_page),
    ],
)
def test_a_page_written_from_the_code_is_up_to_date(path, write):
    assert (ROOT / path).read_text() == write(), "run: make docs"


def test_the_example_file_is_three_nodes_with_every_default():
    example = load_config(ROOT / "cluster.example.toml", {})

    assert [(m.name, m.http, m.peer) for m in example.members] == [
        ("n1", "127.0.0.1:4000", "127.0.0.1:4100"),
        ("n2", "127.0.0.1:4001", "127.0.0.1:4101"),
        ("n3", "127.0.0.1:4002", "127.0.0.1:4102"),
    ]


def test_every_key_stands_in_the_example_file_with_its_default():
    text = (ROOT / "cluster.example.toml").read_text()
    given = tomllib.loads(re.sub(r"(?m)^# (?=\w+ = )", "", text))

    for section, struct in SECTIONS.items():
        expected = {
            s.name: s.default.reveal() if s.is_secret else s.default
            for s in settings_of(section, struct)
        }
        assert given[section] == expected


def test_every_line_of_the_example_environment_can_be_used_as_it_stands(tmp_path):
    text = (ROOT / ".env.example").read_text()
    used = tmp_path / ".env"
    used.write_text(re.sub(r"(?m)^# (?=GORILLA_\w+=)", "", text))

    config = load_config(None, read_env_file(used))

    keys = {s.variable for name, struct in SECTIONS.items() for s in settings_of(name, struct)}
    assert keys <= set(read_env_file(used))
    assert config.locks == load_config(ROOT / "cluster.example.toml", {}).locks


def test_every_setting_is_read_somewhere():
    own = ROOT / "gorilla" / "config"
    code = " ".join(
        path.read_text() for path in (ROOT / "gorilla").rglob("*.py") if own not in path.parents
    )

    unread = [
        setting.key
        for section, struct in SECTIONS.items()
        for setting in settings_of(section, struct)
        if not re.search(rf"\.{setting.name}\b", code)
    ]

    assert unread == ["cluster.secret_file"]  # loading puts its content into cluster.secret


def test_no_timeout_that_may_be_configured_is_beyond_what_the_lock_table_holds():
    setting = next(s for s in settings_of("locks", SECTIONS["locks"]) if s.name == "max_timeout_s")

    assert setting.meta.le is not None
    assert setting.meta.le * 1_000 <= TTL_MS_MAX
