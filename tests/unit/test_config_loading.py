"""Reading the configuration: precedence, refusals, and how each is told."""

import re
from pathlib import Path

import pytest

from gorilla.cli.contexts import Given
from gorilla.client.settings import VARIABLES
from gorilla.config import ClusterConfig, ConfigError, load_config
from tests.support.local_cluster import ROOT

ONE_MEMBER = """
[[member]]
name = "n1"
http = "127.0.0.1:4000"
peer = "127.0.0.1:4100"
"""
SECRET = "0123456789abcdef-very-secret"


def load(tmp_path: Path, text: str = ONE_MEMBER, **environ: str) -> ClusterConfig:
    path = tmp_path / "cluster.toml"
    path.write_text(text)
    return load_config(path, environ)


def problems(tmp_path: Path, text: str = ONE_MEMBER, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **environ)
    return [str(problem) for problem in caught.value.problems]


def test_defaults_fill_what_the_file_leaves_out(tmp_path):
    config = load(tmp_path)

    assert config.consensus.heartbeat_interval_ms == 100
    assert config.data_dir("n1") == Path(".gorilla/n1")
    assert config.member("n1").http_bind == ("127.0.0.1", 4000)


def test_the_environment_comes_before_the_file(tmp_path):
    text = ONE_MEMBER + '[log]\nlevel = "warning"\nformat = "json"\n'

    config = load(tmp_path, text, GORILLA_LOG_LEVEL="debug")

    assert (config.log.level, config.log.format) == ("debug", "json")


def test_an_empty_variable_is_as_if_it_were_not_there(tmp_path):
    text = ONE_MEMBER + '[log]\nlevel = "warning"\n'

    config = load(tmp_path, text, GORILLA_LOG_LEVEL="", GORILLA_LOCKS_PENDING_MAX="")

    assert config.log.level == "warning"


def test_variables_of_the_environment_are_read_as_the_type_of_their_key(tmp_path):
    config = load(
        tmp_path, GORILLA_LOCKS_MAX_TIMEOUT_S="1.5", GORILLA_CONSENSUS_HEARTBEAT_INTERVAL_MS="50"
    )

    assert config.locks.max_timeout_s == 1.5
    assert config.consensus.heartbeat_interval_ms == 50


def test_a_cluster_can_be_described_by_the_environment_alone():
    config = load_config(
        None,
        {
            "GORILLA_MEMBERS": "n-1=10.0.0.1:4000/10.0.0.1:4100, n2=[fd00::2]:4000/[fd00::2]:4100",
            "GORILLA_MEMBER_N_1_BIND_HTTP": "0.0.0.0:4000",
            "GORILLA_CLUSTER_SECRET": SECRET,
        },
    )

    assert [member.name for member in config.members] == ["n-1", "n2"]
    assert config.members[0].http_bind == ("0.0.0.0", 4000)
    assert config.members[1].peer_address == ("fd00::2", 4100)
    assert str(config.members[1].peer_address) == "[fd00::2]:4100"


def test_every_problem_is_told_at_once_with_key_value_and_remedy(tmp_path):
    text = (
        ONE_MEMBER + '[locks]\npending_max = "many"\n[log]\nlevle = "info"\n[databse]\nurl = ""\n'
    )

    told = problems(tmp_path, text, GORILLA_LOG_FORMAT="yaml", GORILLA_HTTP_MAX_CONNECTIONS="0")

    assert sorted(told) == [
        "GORILLA_HTTP_MAX_CONNECTIONS = '0': write a whole number from 10 to 100000, like 4096",
        "GORILLA_LOG_FORMAT = 'yaml': write one of text, json",
        "databse: there is no such key; did you mean database?",
        "locks.pending_max = 'many': write a whole number from 1 to 60000, like 10000",
        "log.levle: there is no such key; did you mean level?",
    ]


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "", "1e400", "true", "[]"])
def test_a_timeout_that_is_no_length_of_time_is_refused(tmp_path, text):
    value = text or '""'

    told = problems(tmp_path, ONE_MEMBER + f"[locks]\nmax_timeout_s = {value}\n")

    assert len(told) == 1
    assert told[0].startswith("locks.max_timeout_s = ")


def test_a_mistyped_variable_is_refused_with_the_right_name(tmp_path):
    assert problems(tmp_path, GORILLA_DATABASE_ULR="postgresql://x") == [
        "GORILLA_DATABASE_ULR: there is no such key; did you mean GORILLA_DATABASE_URL?"
    ]


def test_variables_that_kubernetes_sets_for_a_service_are_left_alone(tmp_path):
    config = load(
        tmp_path,
        GORILLA_SERVICE_HOST="10.0.0.7",
        GORILLA_PORT="tcp://10.0.0.7:4000",
        GORILLA_PORT_4000_TCP_ADDR="10.0.0.7",
        GORILLA_HTTP_SERVICE_PORT_API="4000",
    )

    assert config.members


def test_variables_of_the_command_line_and_the_client_are_left_alone(tmp_path):
    pages = [ROOT / "docs/reference" / name for name in ("cli.md", "gorilla-run.md", "client.md")]
    named = set(re.findall(r"GORILLA_[A-Z_]*[A-Z]", "".join(map(Path.read_text, pages))))
    options = {f"GORILLA_{field.upper()}" for field in set(Given.__struct_fields__) - {"no_color"}}
    others = (named | options | set(VARIABLES)) - {"GORILLA_CONFIG"}

    assert {"GORILLA_ENDPOINTS", "GORILLA_FENCING_TOKEN", "GORILLA_OUTPUT"} <= others
    assert load(tmp_path, **dict.fromkeys(others, "x")).members


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("member = 3", "write each node as a table: [[member]]"),
        ("log = 3\n" + ONE_MEMBER, "must be a table: [log]"),
        ('[[member]]\nname = "n1"\n', "member n1.http: is missing"),
        ("[[member]\n", "is not valid TOML"),
        ("", "list every node of the cluster"),
    ],
)
def test_a_file_of_the_wrong_shape_is_refused_with_what_to_write(tmp_path, text, expected):
    assert any(expected in problem for problem in problems(tmp_path, text))


def test_a_missing_file_is_told_with_what_to_copy(tmp_path):
    with pytest.raises(ConfigError, match=r"no such file; copy cluster\.example\.toml"):
        load_config(tmp_path / "none.toml", {})


def test_the_secret_may_stand_in_a_file_of_its_own(tmp_path):
    (tmp_path / "secret").write_text(f"{SECRET}\n")

    config = load(tmp_path, GORILLA_CLUSTER_SECRET_FILE=str(tmp_path / "secret"))

    assert config.cluster_secret.reveal() == SECRET


@pytest.mark.parametrize("content", [None, "", "  \n", "short"])
def test_a_secret_file_that_gives_no_good_secret_is_refused(tmp_path, content):
    path = tmp_path / "secret"
    if content is not None:
        path.write_text(content)

    told = problems(tmp_path, GORILLA_CLUSTER_SECRET_FILE=str(path))

    assert len(told) == 1
    assert told[0].startswith("cluster.secret")


def test_secret_and_secret_file_together_are_refused(tmp_path):
    (tmp_path / "secret").write_text(SECRET)

    told = problems(
        tmp_path,
        GORILLA_CLUSTER_SECRET=SECRET,
        GORILLA_CLUSTER_SECRET_FILE=str(tmp_path / "secret"),
    )

    assert told == ["cluster.secret_file: set either this or cluster.secret, not both"]


def test_no_secret_is_ever_shown(tmp_path):
    url = "postgresql://gorilla:hunter2hunter2@db/gorilla"
    config = load(tmp_path, GORILLA_CLUSTER_SECRET=SECRET, GORILLA_DATABASE_URL=url)

    wrong = problems(
        tmp_path,
        '[cluster]\nsecret = ["hunter2"]\n' + ONE_MEMBER,
        GORILLA_DATABASE_URL="mysql://hunter2",
    )
    wrong += problems(
        tmp_path, GORILLA_CLUSTER_SECRET="hunter2", GORILLA_DATABASE_URL="mysql://u:hunter2@x/y"
    )

    assert len(wrong) == 3
    shown = f"{config!r} {config} {config.cluster_secret} {wrong}"
    assert SECRET not in shown
    assert "hunter2" not in shown
