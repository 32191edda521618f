"""Settings of a client: from arguments, from the environment, and what is wrong with them."""

import pytest

from gorilla.client import Client
from gorilla.client.settings import ClientSettings, settings_of


def test_without_anything_it_asks_the_node_of_make_run(monkeypatch):
    for name in ("GORILLA_ENDPOINTS", "GORILLA_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)

    settings = settings_of(())

    assert settings.endpoints == ("http://127.0.0.1:4000",)
    assert (settings.deadline_s, settings.attempt_s) == (15.0, 6.0)
    assert ":" in settings.name


def test_the_environment_says_what_arguments_do_not(tmp_path):
    certificates = tmp_path / "ca.pem"
    certificates.write_text("x")
    environment = {
        "GORILLA_ENDPOINTS": "https://a:4000/, https://b:4000,",
        "GORILLA_TOKEN": "secret",
        "GORILLA_CA_FILE": str(certificates),
        "GORILLA_CLIENT_NAME": "backup",
        "GORILLA_DEADLINE": "2.5",
        "GORILLA_ATTEMPT": "",
    }

    settings = ClientSettings.from_environment(environment, name="deploy", cert_file=None)

    assert settings.endpoints == ("https://a:4000", "https://b:4000")
    assert settings.token == "secret"
    assert settings.ca_file == str(certificates)
    assert (settings.name, settings.deadline_s, settings.attempt_s) == ("deploy", 2.5, 6.0)


def test_one_endpoint_may_stand_in_a_variable_of_its_own():
    settings = ClientSettings.from_environment({"GORILLA_ENDPOINT": "http://a:1"})

    assert settings.endpoints == ("http://a:1",)


def test_a_client_reads_the_environment_too(monkeypatch):
    monkeypatch.setenv("GORILLA_ENDPOINTS", "http://a:1,http://b:2")

    with Client(name="me") as client:
        assert client.settings.endpoints == ("http://a:1", "http://b:2")
        assert client.settings.name == "me"


def test_arguments_count_more_than_the_environment(monkeypatch):
    monkeypatch.setenv("GORILLA_ENDPOINTS", "http://a:1")
    monkeypatch.setenv("GORILLA_DEADLINE", "not a number")

    with Client("http://c:3", deadline_s=1.0) as client:
        assert client.settings.endpoints == ("http://c:3",)


def test_an_endpoint_twice_is_one():
    assert ClientSettings(endpoints=("http://a:1/", "http://a:1")).endpoints == ("http://a:1",)


@pytest.mark.parametrize("url", ["http://[::1]:4000", "https://host/below/a/path", "http://h"])
def test_endpoints_may_be(url):
    assert ClientSettings(endpoints=(url,)).endpoints == (url,)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:4000", "ftp://a", "http://", "http://a:99999", "http://a:0", "http://u:p@a",
        "http://a?x=1", "http://a#x", "http://a b", "http://ä", "http://a\tb", "", "http://[::1",
    ],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused_by_name(url):
    with pytest.raises(ValueError, match=r"^endpoints: "):
        ClientSettings(endpoints=(url,))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("endpoints", ()),
        ("token", ""),
        ("token", "a\nb"),
        ("token", "ä"),
        ("ca_file", "no/such/file"),
        ("cert_file", "no/such/file"),
        ("key_file", "no/such/file"),
        ("name", "x" * 256),
        ("name", "a\x00"),
        ("deadline_s", 0),
        ("deadline_s", float("nan")),
        ("attempt_s", -1),
        ("attempt_s", float("inf")),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"^{field}: "):
        ClientSettings(**{field: value})


def test_a_variable_that_cannot_be_read_is_named():
    with pytest.raises(ValueError, match=r"^GORILLA_DEADLINE: 'soon' is no number of seconds"):
        ClientSettings.from_environment({"GORILLA_DEADLINE": "soon"})


def test_a_key_without_its_certificate_is_of_no_use(tmp_path):
    key = tmp_path / "key.pem"
    key.write_text("x")

    with pytest.raises(ValueError, match=r"^key_file: is of no use without cert_file"):
        ClientSettings(key_file=str(key))


def test_a_file_that_holds_no_certificate_is_told_when_the_client_is_made(tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")

    with pytest.raises(ValueError, match=r"^ca_file: "):
        Client("https://a:1", ca_file=str(empty))
    with pytest.raises(ValueError, match=r"^cert_file: "):
        Client("https://a:1", cert_file=str(empty))


def test_secrets_are_not_shown():
    shown = repr(ClientSettings(token="hush", name="n"))

    assert "hush" not in shown
    assert "token=***" in shown
    assert "name='n'" in shown
