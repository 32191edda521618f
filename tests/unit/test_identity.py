"""Who a data directory is: durable at once, never changed, refused with a remedy when damaged."""

import zlib

import msgspec
import pytest

from gorilla.consensus import identity as identities
from gorilla.consensus.identity import (
    IDENTITY_FILE,
    GenesisRef,
    Identity,
    IdentityError,
    load,
    load_or_create,
    save,
)
from gorilla.service.ports import Member
from tests.support.disks import MemoryDisk, PowerCutError

N1 = Member(id="a", name="n1", peer="127.0.0.1:4100", http="127.0.0.1:4000")
N2 = Member(id="b", name="n2", peer="127.0.0.1:4101", http="127.0.0.1:4001")


def formed(node_id="a"):
    return Identity(
        node_id=node_id,
        name="n1",
        promised_to="a",
        cluster_id="c",
        members=(N1, N2),
        genesis=GenesisRef(size=3, sha256="00"),
    )


def test_an_empty_directory_gets_an_id_that_survives_a_crash():
    disk = MemoryDisk()

    made = load_or_create(disk, "n1")

    assert len(made.node_id) == 32
    assert not made.formed
    assert load_or_create(disk.crash(), "n1") == made


def test_every_directory_gets_another_id():
    assert load_or_create(MemoryDisk(), "n1") != load_or_create(MemoryDisk(), "n1")


def test_what_was_saved_is_read_back():
    disk = MemoryDisk()
    save(disk, formed())
    assert load(disk.crash()) == formed()


def test_a_power_cut_at_any_step_leaves_the_old_identity_or_the_new_one():
    cuts = 0
    while True:
        disk = MemoryDisk()
        old = load_or_create(disk, "n1")
        new = msgspec.structs.replace(formed(), node_id=old.node_id)
        disk.steps, disk.cut_after = 0, cuts
        try:
            save(disk, new)
        except PowerCutError:
            assert load_or_create(disk.crash(), "n1") in (old, new)
            cuts += 1
            continue
        assert load(disk.crash()) == new
        assert cuts >= 4
        return


def test_what_an_interrupted_save_left_behind_does_no_harm():
    disk = MemoryDisk({IDENTITY_FILE + ".part": b'{"half'})
    made = load_or_create(disk, "n1")
    assert load(disk.crash()) == made


def test_a_directory_of_another_node_is_refused():
    disk = MemoryDisk()
    load_or_create(disk, "n1")
    with pytest.raises(
        IdentityError, match="belongs to node n1, but this node is configured as n2"
    ):
        load_or_create(disk, "n2")


@pytest.mark.parametrize("position", range(0, 100, 7))
def test_a_damaged_identity_is_refused_with_the_remedy(position):
    disk = MemoryDisk()
    load_or_create(disk, "n1")
    data = bytearray(disk.read(IDENTITY_FILE))
    data[position] ^= 0x01
    with pytest.raises(IdentityError, match=r"identity\.json (can't be read|has format)"):
        load_or_create(MemoryDisk({IDENTITY_FILE: bytes(data)}), "n1")


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[]", b"{}", b'{"format":1}', b"null"])
def test_a_file_that_is_no_identity_is_refused_with_the_remedy(data):
    with pytest.raises(IdentityError, match="add it in the place of the lost member"):
        load_or_create(MemoryDisk({IDENTITY_FILE: data}), "n1")


def test_an_identity_of_a_newer_version_is_left_alone():
    disk = MemoryDisk({IDENTITY_FILE: b'{"format":2,"something":"else"}'})
    with pytest.raises(IdentityError, match="has format 2, this Gorilla reads format 1"):
        load_or_create(disk, "n1")


def test_a_directory_that_lost_its_identity_is_not_given_a_new_one():
    disk = MemoryDisk({"00000001.journal": b"votes"})
    with pytest.raises(IdentityError, match=r"lost its identity.*"):
        load_or_create(disk, "n1")
    assert IDENTITY_FILE not in disk.names()


def test_a_restored_genesis_and_a_lock_file_may_stand_in_an_empty_directory():
    disk = MemoryDisk({"genesis.snap": b"state", "lock": b""})
    assert not load_or_create(disk, "n1", harmless=("lock",)).formed


@pytest.mark.parametrize(
    "change",
    [
        {"cluster_id": "other"},
        {"cluster_id": None},
        {"members": (N2, N1)},
        {"members": ()},
        {"node_id": "x"},
        {"promised_to": None},
        {"genesis": None},
        {"name": "n2"},
    ],
    ids=str,
)
def test_a_formed_identity_never_changes(change):
    disk = MemoryDisk()
    save(disk, formed())
    with pytest.raises(IdentityError, match="can't be changed"):
        save(disk, msgspec.structs.replace(formed(), **change))
    assert load(disk) == formed()


def test_a_cluster_without_genesis_never_gets_one():
    disk = MemoryDisk()
    plain = msgspec.structs.replace(formed(), genesis=None)
    save(disk, plain)
    with pytest.raises(IdentityError, match="genesis of a data directory can't be changed"):
        save(disk, formed())


def test_a_directory_that_was_invited_remembers_it():
    disk = MemoryDisk()
    made = load_or_create(disk, "n3")
    joining = msgspec.structs.replace(made, cluster_id="c", members=(N1, N2), joining=True)
    save(disk, joining)
    assert load(disk.crash()) == joining
    with pytest.raises(IdentityError, match=r"^joining of a data directory can't be changed"):
        save(disk, msgspec.structs.replace(joining, joining=False))


def test_a_first_voter_never_becomes_one_that_was_invited():
    disk = MemoryDisk()
    save(disk, formed())
    with pytest.raises(IdentityError, match="joining of a data directory can't be changed"):
        save(disk, msgspec.structs.replace(formed(), joining=True))


def test_a_file_from_before_there_were_invitations_is_read():
    fields = msgspec.to_builtins(formed())
    del fields["joining"]
    body = msgspec.json.encode(fields)
    file = {"format": 1, "crc32": zlib.crc32(body), "identity": msgspec.Raw(body)}
    assert load(MemoryDisk({IDENTITY_FILE: msgspec.json.encode(file)})) == formed()


def test_a_promise_is_given_once():
    disk = MemoryDisk()
    made = load_or_create(disk, "n1")
    save(disk, msgspec.structs.replace(made, promised_to="coordinator"))
    with pytest.raises(IdentityError, match="promised_to of a data directory can't be changed"):
        save(disk, msgspec.structs.replace(made, promised_to="another"))


def test_the_format_is_the_one_that_the_file_says():
    disk = MemoryDisk()
    load_or_create(disk, "n1")
    assert msgspec.json.decode(disk.read(IDENTITY_FILE))["format"] == identities.FORMAT
