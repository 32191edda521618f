"""The two faces of the client are one: same names, same parameters; and what they import."""

import copy
import inspect
import pickle
import re
import subprocess
import sys
import typing
from typing import Any

import pytest

from gorilla.client import AsyncClient, Client, ClientSettings
from gorilla.client.areas_async import AsyncCluster, AsyncPolicies, AsyncSessions, AsyncSnapshots
from gorilla.client.areas_blocking import Cluster, Policies, Sessions, Snapshots
from gorilla.client.events_async import AsyncEvents
from gorilla.client.events_blocking import Events
from gorilla.client.events_following import Following
from gorilla.client.plain_async import AsyncPlainCalls
from gorilla.client.plain_blocking import PlainCalls

FACES = [
    (Client, AsyncClient),
    (Sessions, AsyncSessions),
    (Policies, AsyncPolicies),
    (Cluster, AsyncCluster),
    (Snapshots, AsyncSnapshots),
    (Events, AsyncEvents),
]
RENAMED = {
    "__aenter__": "__enter__", "__aexit__": "__exit__", "__aiter__": "__iter__",
    "__anext__": "__next__",
}  # fmt: skip
SERVER_PACKAGES = {
    "aiohttp", "alembic", "multidict", "prometheus_client", "psycopg", "pysyncobj", "sqlalchemy",
    "uvloop", "yarl",
}  # fmt: skip


def methods(kind: type) -> dict[str, Any]:
    found = {}
    for name, member in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_") or name in {*RENAMED, *RENAMED.values(), "__init__"}:
            found[RENAMED.get(name, name)] = member
    return found


def shown(annotation: object) -> str:
    """How a type reads, once what is asynchronous about it is left out."""
    return re.sub(r"Async(?=[A-Z])|gorilla\.client\.\w+\.", "", str(annotation))


@pytest.mark.parametrize(("blocking", "asynchronous"), FACES, ids=lambda kind: kind.__name__)
def test_both_faces_have_the_same_methods_with_the_same_parameters(blocking, asynchronous):
    ours, theirs = methods(blocking), methods(asynchronous)

    assert set(ours) == set(theirs)
    for name, method in ours.items():
        one, other = inspect.signature(method), inspect.signature(theirs[name])
        assert [shown(p) for p in one.parameters.values()] == [
            shown(p) for p in other.parameters.values()
        ], name
        assert shown(one.return_annotation) == shown(other.return_annotation), name
        assert not inspect.iscoroutinefunction(method), name


@pytest.mark.parametrize(
    ("blocking", "asynchronous"),
    [(PlainCalls, AsyncPlainCalls), *FACES[1:]],
    ids=lambda kind: kind.__name__,
)
def test_both_faces_are_described_in_the_same_words(blocking, asynchronous):
    theirs = methods(asynchronous)

    for name, method in methods(blocking).items():
        assert inspect.getdoc(method), name
        assert shown(inspect.getdoc(method)) == shown(inspect.getdoc(theirs[name])), name


def test_the_package_exports_what_it_says():
    module = sys.modules["gorilla.client"]

    for name in module.__all__:
        assert getattr(module, name) is not None
    assert sorted(module.__all__) == list(module.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = module.Nothing


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


def test_importing_the_client_loads_no_package_of_the_server():
    done = run(
        "import sys, gorilla.client; print(*sorted(m.partition('.')[0] for m in sys.modules))"
    )

    assert done.stderr == ""
    assert "urllib3" in done.stdout.split()
    assert SERVER_PACKAGES & set(done.stdout.split()) == set()


def test_the_blocking_client_works_where_aiohttp_is_not_installed():
    done = run(
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in {'aiohttp', 'yarl', 'multidict'}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import gorilla.client as c\n"
        "with c.Client('http://127.0.0.1:1', deadline_s=0.1) as client:\n"
        "    try: client.health()\n"
        "    except c.Unavailable as error: print('refused' in str(error))\n"
        "try: c.AsyncClient\n"
        "except ModuleNotFoundError as error: print(error)\n"
    )

    needs = "AsyncClient needs aiohttp: pip install 'gorilla-lock[async]'"
    assert done.stdout == f"True\n{needs}\n", done.stderr


@pytest.mark.parametrize("face", [Client, AsyncClient])
def test_a_client_is_not_copied_and_says_what_to_pass_on(face):
    client = face("http://127.0.0.1:1")

    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=r"pass on its settings, and make \w+\(settings=\.\.\."):
            attempt(client)
    settings = pickle.loads(pickle.dumps(client.settings))
    assert face(settings=settings).settings == client.settings
    assert repr(client) == f"<{face.__name__} of http://127.0.0.1:1>"


@pytest.mark.parametrize("face", [Events, AsyncEvents])
def test_a_watch_is_not_copied(face):
    client = Client("http://127.0.0.1:1")
    watch = face(Following(client._asker, None, None, None, 7))

    with pytest.raises(TypeError, match="pass on its last_id"):
        pickle.dumps(watch)
    assert watch.last_id == 7


def test_settings_of_another_client_count_alone(monkeypatch):
    monkeypatch.setenv("GORILLA_TOKEN", "of the environment")
    settings = ClientSettings(endpoints=("http://a:1",))

    assert Client(settings=settings).settings.token is None


def test_every_option_that_is_named_has_a_word_on_what_it_means():
    for kind in (Client, AsyncClient):
        hints = typing.get_type_hints(kind.__init__)
        doc = inspect.getdoc(kind.__init__) or ""
        for name in hints.keys() - {"return"}:
            assert f"{name}: " in doc, name
