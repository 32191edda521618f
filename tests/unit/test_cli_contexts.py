"""Which cluster is meant, and who asks: each value has a place, and wrong files are explained."""

import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, strategies as st

from gorilla.cli import contexts_writing as writing
from gorilla.cli.contexts import (
    ConfigFile,
    Context,
    Given,
    config_path,
    parsed_config,
    resolved,
)
from gorilla.cli.failures import CommandError
from tests.support.cli import gorilla, process

CONFIG = """\
# ours
current = "prod"  # the one that counts

[contexts.prod]
endpoints = ["http://prod:4000"]
token = "secret-of-prod"  # change it in May
deadline = 30

# for trying things out
[contexts.test]
endpoints = [
    "http://test-1:4000",
    "http://test-2:4000",
]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the config file of the tests is."""
    file = tmp_path / "gorilla" / "config.toml"
    file.parent.mkdir()
    file.write_text(CONFIG)
    file.chmod(0o600)
    return tmp_path


def settled(home: Path, given: Given | None = None, **environ: str):
    return resolved(given or Given(), {"XDG_CONFIG_HOME": str(home), **environ})


def said(home: Path, text: str) -> str:
    (home / "gorilla" / "config.toml").write_text(text)
    with pytest.raises(CommandError) as raised:
        settled(home)
    return str(raised.value).replace(f"{home}/gorilla/", "")


def test_an_option_comes_before_the_environment_before_the_context_before_the_default(home):
    given = Given(context="test", deadline=5)

    bare = settled(home.parent)
    of_file = settled(home)
    of_environment = settled(home, GORILLA_DEADLINE="1m", GORILLA_CONTEXT="prod")
    of_option = settled(home, given, GORILLA_DEADLINE="1m", GORILLA_CONTEXT="prod")

    assert [one.deadline_s for one in (bare, of_file, of_environment, of_option)] == [15, 30, 60, 5]
    assert [
        one.values["deadline"].source for one in (bare, of_file, of_environment, of_option)
    ] == [
        "default",
        "context prod",
        "environment GORILLA_DEADLINE",
        "option --deadline",
    ]
    assert bare.endpoints == ("http://127.0.0.1:4000",)
    assert of_file.endpoints == ("http://prod:4000",)
    assert of_option.endpoints == ("http://test-1:4000", "http://test-2:4000")
    assert (of_option.context, of_option.context_source) == ("test", "option --context")


@pytest.mark.parametrize("text", ["0", "-1", "soon"])
def test_a_deadline_that_is_none_is_told_with_the_variable(home, text):
    with pytest.raises(CommandError, match=r"^environment GORILLA_DEADLINE: "):
        settled(home, GORILLA_DEADLINE=text)


def test_the_token_of_the_current_context_is_not_sent_to_endpoints_of_others(home):
    strange = settled(home, Given(endpoints=("http://elsewhere:4000",)))
    own = settled(home, Given(endpoints=("http://prod:4000/",)))
    named = settled(home, Given(endpoints=("http://elsewhere:4000",), context="prod"))
    of_environment = settled(home, GORILLA_ENDPOINTS="http://prod:4000,http://elsewhere:4000")

    assert strange.text("token") is None
    assert strange.deadline_s == 30
    assert own.text("token") == "secret-of-prod"
    assert named.text("token") == "secret-of-prod"
    assert of_environment.text("token") is None


def test_a_token_may_be_in_a_file_of_its_own(home, tmp_path):
    file = tmp_path / "token"
    file.write_text("secret-word\n")
    file.chmod(0o600)
    config = f'current = "a"\n[contexts.a]\ntoken_file = "{file}"\n'
    (home / "gorilla" / "config.toml").write_text(config)

    assert settled(home).text("token") == "secret-word"
    assert settled(home).warnings == ()
    assert settled(home, GORILLA_TOKEN="other").text("token") == "other"
    assert settled(home.parent, GORILLA_TOKEN_FILE=str(file)).text("token") == "secret-word"


def test_a_token_that_others_can_read_is_warned_of(home, tmp_path):
    file = tmp_path / "token"
    file.write_text("secret-word")
    file.chmod(0o640)

    (warning,) = settled(home.parent, GORILLA_TOKEN_FILE=str(file)).warnings
    (home / "gorilla" / "config.toml").chmod(0o644)
    (other,) = settled(home).warnings

    assert warning == f"{file} holds a token and others can read it: chmod 600 {file}"
    assert "config.toml holds a token" in other


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "must hold one word"), (b"two words", "must hold one word"), (b"\xff", "not UTF-8")],
)
def test_a_file_that_holds_no_token_is_refused(home, tmp_path, content, why):
    file = tmp_path / "token"
    file.write_bytes(content)

    with pytest.raises(CommandError, match=why):
        settled(home, GORILLA_TOKEN_FILE=str(file))
    with pytest.raises(CommandError, match="No such file"):
        settled(home, GORILLA_TOKEN_FILE=f"{file}.none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("current = ", "config.toml is no TOML: Invalid value (at end of document)."),
        ("curent = 'a'", "config.toml: curent: no such key; did you mean current?"),
        (
            "[contexts.a]\nendpoint = ['x']",
            "config.toml: contexts.a.endpoint: no such key; did you mean endpoints?",
        ),
        (
            "[contexts.a]\nzzz = 1",
            "config.toml: contexts.a.zzz: no such key; there are endpoints, token, token_file, "
            "ca_file, cert_file, key_file, deadline, output.",
        ),
        (
            "[contexts.a]\nendpoints = 'http://x'",
            "config.toml: contexts.a.endpoints: expected `array`, got `str`.",
        ),
        (
            "contexts = 3",
            "config.toml: contexts: expected `object`, got `int`.",
        ),
        (
            "[contexts.a]\ntoken = 'a'\ntoken_file = 'b'",
            "config.toml: contexts.a has token and token_file; take one out.",
        ),
        (
            "[contexts.a]\nkey_file = 'b'",
            "config.toml: contexts.a has key_file and no cert_file; it is of no use.",
        ),
        (
            "current = 'prd'\n[contexts.prod]",
            "config.toml has no context prd (current in the config file); did you mean prod?",
        ),
        (
            "current = 'x'\n[contexts.prod]",
            "config.toml has no context x (current in the config file); there are prod.",
        ),
        (
            "current = 'x'",
            "config.toml has no context x (current in the config file); add it: "
            "gorilla context add x --endpoint URL",
        ),
        (
            "[contexts.a]\ndeadline = 0",
            "config.toml: contexts.a.deadline: must be seconds, more than 0.",
        ),
        (
            "[contexts.a]\noutput = 'xml'",
            "config.toml: contexts.a.output: must be one of table, json, yaml.",
        ),
    ],
)
def test_a_wrong_config_file_is_explained_with_file_key_and_remedy(home, text, message):
    assert said(home, text) == message


def test_a_config_file_that_can_not_be_read_is_no_traceback(home):
    (home / "gorilla" / "config.toml").write_bytes(b"\xff")
    (home / "dir" / "gorilla" / "config.toml").mkdir(parents=True)

    garbled = gorilla("context", "list", home=home)
    directory = gorilla("lock", "list", home=home / "dir")

    assert (garbled.code, "is not UTF-8; save it as UTF-8." in garbled.err) == (2, True)
    assert (directory.code, "can't be read: Is a directory." in directory.err) == (2, True)


def test_a_bad_variable_is_named():
    ran = gorilla("context", "show", GORILLA_DEADLINE="soon")
    form = gorilla("context", "list", GORILLA_OUTPUT="xml")

    assert (ran.code, form.code) == (2, 2)
    assert ran.sentence.startswith("environment GORILLA_DEADLINE: 'soon' is no length of time")
    assert form.sentence == ("environment GORILLA_OUTPUT: 'xml': must be one of table, json, yaml.")


def test_the_config_file_is_where_the_environment_says():
    assert config_path({"XDG_CONFIG_HOME": "/somewhere"}) == Path("/somewhere/gorilla/config.toml")
    assert config_path({"XDG_CONFIG_HOME": "relative"}).parts[-3:] == (
        ".config",
        "gorilla",
        "config.toml",
    )
    assert config_path({"GORILLA_CONFIG_FILE": "a.toml"}) == Path("a.toml")


def test_a_home_that_is_nowhere_is_no_traceback(home):
    (home / "gorilla" / "config.toml").write_text(
        "current = 'a'\n[contexts.a]\ntoken_file = '~nobody-of-that-name/token'\n"
    )

    ran = gorilla("lock", "list", home=home)

    assert (ran.code, "~nobody-of-that-name/token can't be read" in ran.err) == (2, True)


def test_contexts_are_added_used_and_removed_and_comments_stay(home):
    config = home / "gorilla" / "config.toml"
    endpoint = ("--endpoint", "http://new:4000")

    assert gorilla("context", "add", "new", *endpoint, "--deadline", "1m", home=home).code == 0
    assert gorilla("context", "use", "new", home=home).code == 0
    assert gorilla("context", "remove", "test", home=home).code == 0

    assert config.read_text() == (
        '# ours\ncurrent = "new"\n\n'
        '[contexts.prod]\nendpoints = ["http://prod:4000"]\n'
        'token = "secret-of-prod"  # change it in May\ndeadline = 30\n\n'
        "# for trying things out\n\n"
        '[contexts.new]\nendpoints = ["http://new:4000"]\ndeadline = 60\n'
    )
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert list(config.parent.iterdir()) == [config]


def test_the_first_context_becomes_the_current_one(tmp_path):
    endpoint = ("--endpoint", "http://a:4000")

    first = gorilla("context", "add", "a", *endpoint, home=tmp_path)
    again = gorilla("context", "add", "a", *endpoint, home=tmp_path)
    replaced = gorilla("context", "add", "a", *endpoint, "--replace", home=tmp_path)
    gorilla("context", "remove", "a", home=tmp_path)
    gone = gorilla("context", "use", "a", home=tmp_path)

    assert "the current one" in first.err
    assert (again.code, "--replace" in again.err) == (2, True)
    assert replaced.code == 0
    assert gone.code == 4


def test_files_of_a_context_are_remembered_wherever_one_stands(tmp_path):
    gorilla(
        "context", "add", "a", "--endpoint", "http://a", "--ca-file", "ca.pem", home=tmp_path
    )  # fmt: skip

    file = parsed_config((tmp_path / "gorilla" / "config.toml").read_bytes(), tmp_path)

    assert file.contexts["a"].ca_file == str(Path("ca.pem").absolute())


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("a",), "at least one --endpoint"),
        (("a", "--endpoint", "ftp://a"), "must be a URL"),
        (("a", "--endpoint", "http://a:99999"), "no URL"),
        (("a b", "--endpoint", "http://a"), "no spaces"),
        (("a", "--endpoint", "http://a", "--token", "x", "--token-file", "y"), "not both"),
        (("a", "--endpoint", "http://a", "--key-file", "x"), "cert_file"),
    ],
)
def test_a_context_that_can_not_work_is_not_added(tmp_path, arguments, why):
    ran = gorilla("context", "add", *arguments, home=tmp_path)

    assert (ran.code, why in ran.err) == (2, True), ran.err
    assert list(tmp_path.iterdir()) == []


def test_show_says_where_each_value_comes_from_and_masks_tokens(home):
    shown = gorilla("context", "show", "-o", "json", home=home, GORILLA_DEADLINE="1m")
    values = msgspec.json.decode(shown.out)["values"]

    assert values["token"] == {"value": "…(14 characters)", "source": "context prod"}
    assert values["deadline"] == {"value": 60, "source": "environment GORILLA_DEADLINE"}
    assert values["ca_file"] == {"value": None, "source": "default"}
    assert "secret-of-prod" not in shown.out + gorilla("context", "show", home=home).out


def test_a_link_to_a_config_file_stays_a_link(home, tmp_path):
    config = home / "gorilla" / "config.toml"
    kept = tmp_path / "dotfiles.toml"
    config.rename(kept)
    config.symlink_to(kept)

    gorilla("context", "use", "test", home=home)

    assert config.is_symlink()
    assert 'current = "test"' in kept.read_text()


def test_when_the_disk_is_full_the_config_file_is_as_it_was(home):
    config = home / "gorilla" / "config.toml"
    before = config.read_bytes()
    full = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)); "
        "sys.argv = ['gorilla', 'context', 'use', 'test']; runpy.run_module('gorilla.cli', "
        "run_name='__main__')"
    )

    ran = process(home=home, python=("-c", full))

    assert (ran.code, config.read_bytes()) == (74, before)
    assert "can't be written: File too large. It is as it was." in ran.err
    assert list(config.parent.iterdir()) == [config]


NAMES = st.text(min_size=1, max_size=20).filter(
    lambda name: not any(one <= " " or one == "\x7f" for one in name) and name.isprintable()
)
TEXTS = st.text(max_size=30).filter(
    lambda text: not any("\ud800" <= one <= "\udfff" for one in text)
)
CONTEXTS = st.builds(
    Context,
    endpoints=st.lists(TEXTS, max_size=3).map(tuple),
    token=st.none() | TEXTS,
    ca_file=st.none() | TEXTS,
)


@given(st.dictionaries(NAMES, CONTEXTS, max_size=4), NAMES, CONTEXTS)
def test_whatever_is_edited_says_what_was_meant(contexts, name, context):
    place = Path("config.toml")
    file = ConfigFile(contexts=contexts, current=next(iter(contexts), None))
    text = writing.whole(file)

    added = writing.with_context(writing.without_context(text, name), name, context)
    removed = writing.with_current(writing.without_context(added, name), None)

    assert parsed_config(text.encode(), place) == file
    assert parsed_config(added.encode(), place) == writing.changed(file, name, context)
    assert parsed_config(removed.encode(), place) == msgspec.structs.replace(
        writing.changed(file, name, None), current=None
    )
