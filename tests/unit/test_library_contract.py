"""What Gorilla relies on inside PySyncObj: a new version must fail here before anything else."""

import ast
import hashlib
import inspect
import re
from importlib import metadata, resources
from pathlib import Path

import pytest
from pysyncobj import SyncObj, syncobj
from pysyncobj.transport import Transport

from gorilla.consensus import library
from gorilla.consensus.codec import (
    LogCodec,
    MemberNode,
    RosterChange,
    UnreadableEntryError,
    check_command,
    roster_change,
)
from gorilla.service.ports import Member
from tests.support.engines import Cluster

SOURCE = Path(library.__file__).read_text()


def test_the_installed_library_is_the_audited_one():
    library.check_library()
    assert metadata.version("pysyncobj") == library.AUDITED_VERSION


def test_another_version_of_the_library_is_refused(monkeypatch):
    monkeypatch.setattr(library, "AUDITED_VERSION", "0.3.18")
    with pytest.raises(library.LibraryMismatchError, match=re.escape("pip install pysyncobj==")):
        library.check_library()


def test_a_changed_file_of_the_library_is_refused(monkeypatch):
    monkeypatch.setitem(library.AUDITED_SHA256, "syncobj.py", hashlib.sha256(b"").hexdigest())
    with pytest.raises(library.LibraryMismatchError, match=re.escape("syncobj.py")):
        library.check_library()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"_SyncObj(__\w+)", SOURCE))))
def test_every_private_name_that_is_used_exists_in_the_library(name):
    text = resources.files("pysyncobj").joinpath("syncobj.py").read_text()
    assert f"self.{name}" in text or f"def {name}(" in text


@pytest.mark.parametrize(
    "name",
    ["createJournal", "Serializer", "createPoller", "monotonicTime", "pickle"],
)
def test_every_seam_of_the_module_is_replaced_by_ours(name):
    assert getattr(syncobj, name).__module__ != f"pysyncobj.{name}"
    assert "pysyncobj" not in getattr(getattr(syncobj, name), "__module__", "")


def test_there_is_exactly_one_replicated_method():  # H20
    replicated = {
        attribute.origName
        for _, attribute in inspect.getmembers(library.RaftCore)
        if getattr(attribute, "replicated", False)
    }
    assert replicated == {"commit"}


def test_the_library_is_set_to_do_nothing_by_itself():  # H22, H29, H38, H45
    cluster = Cluster(1)
    node = cluster.nodes["a"]
    core, conf = node.engine._core, node.engine._core.conf
    assert conf.autoTick is False
    assert core._SyncObj__thread is None
    assert conf.commandsWaitLeader is False
    assert conf.useFork is False
    assert conf.fullDumpFile is None
    assert core._SyncObj__raftLog is node.journal
    assert core._SyncObj__serializer is node.engine._compactor


@pytest.mark.parametrize("name", ["batteries", "setCodeVersion", "TCPTransport", "replicated(ver"])
def test_what_is_unsafe_in_the_library_is_used_nowhere(name):  # H19, H20, H25, H31
    rooms = Path(library.__file__).parents[1]
    users = [path for path in rooms.rglob("*.py") if name in path.read_text()]
    assert users == []


PAIRS = pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (
            library.RaftCore,
            SyncObj,
            {
                "_SyncObj__generateRaftTimeout",
                "_SyncObj__doApplyCommand",
                "_SyncObj__changeCluster",
                "_applyCommand",
            },
        ),
        (library.GuardedTransport, Transport, {"ready", "send", "addNode", "dropNode"}),
    ],
)


@PAIRS
def test_exactly_what_is_meant_to_be_overridden_is_and_keeps_its_parameters(ours, theirs, expected):
    overridden = {name for name in vars(ours) if name in vars(theirs) and not is_common(name)}
    assert overridden == expected
    for name in overridden:
        if inspect.isfunction(vars(theirs)[name]):
            parameters = inspect.signature(getattr(ours, name)).parameters
            assert list(parameters) == list(inspect.signature(getattr(theirs, name)).parameters)


def is_common(name):
    return name.startswith("__") and name.endswith("__")


@PAIRS
def test_every_method_of_the_library_that_is_called_takes_what_it_is_given(ours, theirs, expected):
    del expected
    calls = list(own_calls(ours))
    assert calls
    for name, arguments, keywords in calls:
        if name not in vars(ours):
            inspect.signature(vars(theirs)[name]).bind("self", *arguments, **keywords)


def own_calls(our_class):
    """What a class calls on itself and on ``super()``: name, arguments, keyword arguments."""
    for node in ast.walk(ast.parse(inspect.getsource(our_class))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        receiver = ast.unparse(node.func.value)
        if receiver in ("self", "super()") and not is_common(node.func.attr):
            keywords = {keyword.arg: None for keyword in node.keywords}
            if node.func.attr not in ("_on_apply", "_on_roster", "on_change"):
                yield node.func.attr, node.args, keywords


def test_the_deadline_that_is_overridden_is_a_plain_attribute_of_the_library():
    text = resources.files("pysyncobj").joinpath("syncobj.py").read_text()
    assert "self.__raftElectionDeadline = " in text
    assert "_SyncObj__raftElectionDeadline" not in vars(SyncObj)


def test_no_other_module_reaches_into_the_library():
    reach = re.compile(
        r"_SyncObj__|\._(?:isLeader|getLeader|onTick|applyCommand|onNode\w*|onMessage\w*)\b"
        r"|\b(?:core|transport)\._"
    )
    rooms = Path(library.__file__).parents[1]
    others = [path for path in rooms.rglob("*.py") if path != Path(library.__file__)]
    assert [path.name for path in others if reach.search(path.read_text())] == []


MEMBER = Member(id="ab" * 16, name="n4", peer="h:1", http="h:2")


def test_a_call_of_the_replicated_method_travels_as_plain_bytes():
    data = LogCodec.dumps((0, (b"payload",)))
    assert LogCodec.loads(data) == (0, (b"payload",))
    assert b"payload" in data


def test_a_membership_change_round_trips_with_the_member():
    data = LogCodec.dumps(["add", MEMBER.id, MemberNode(MEMBER)])
    kind, member_id, node = LogCodec.loads(data)
    assert (kind, member_id, node.member) == ("add", MEMBER.id, MEMBER)
    assert roster_change(b"\x02" + data) == RosterChange(1, "add", MEMBER)


@pytest.mark.parametrize("value", [7, {"a": 1}, (1, (b"x",)), ["add", "x"], (0, ("text",))])
def test_nothing_else_goes_into_the_log(value):
    with pytest.raises(UnreadableEntryError):
        LogCodec.dumps(value)


@pytest.mark.parametrize("data", [b"", b"\x80\x02.", b"Rxx", b"cos\nsystem\n(S'true'\ntR."])
def test_nothing_is_ever_unpickled(data):  # H31, H50
    with pytest.raises(UnreadableEntryError):
        LogCodec.loads(data)


@pytest.mark.parametrize("command", [b"", b"\x03v", b"\x04", b"\xff"])
def test_a_log_command_of_an_unknown_type_is_refused(command):  # H19
    with pytest.raises(UnreadableEntryError):
        check_command(command)


def test_member_nodes_hash_alike_in_every_process():
    assert hash(MemberNode(MEMBER)) == 7017278244565180770
    assert MemberNode(MEMBER) == MemberNode(MEMBER)
