"""Idempotency keys, and what tells one request from another."""

import json

import pytest
from hypothesis import given, strategies as st

from gorilla.domain import limits
from gorilla.wire import idempotency
from gorilla.wire.fields import FieldRuleError
from gorilla.wire.idempotency import fingerprint_of, key_of

PATH = ("", "api", "v1", "locks", "a/b")
NAMES = st.text(max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)


def told(body: bytes = b"", **changes: object) -> bytes:
    request = {"method": "POST", "path": PATH, "query": {}, **changes}
    return fingerprint_of(body=body, **request)  # type: ignore[arg-type]


def test_the_bounds_are_those_of_the_lock_table():
    assert idempotency.KEY_CHARS_MAX == limits.KEY_CHARS_MAX
    assert 16 <= len(told()) <= limits.FINGERPRINT_BYTES_MAX


@pytest.mark.parametrize("key", ["a", " ", "x" * 255, "~!@ {}", "0"])
def test_keys_are_printable_ascii(key: str):
    assert key_of(key) == key


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "ü", "\x7f", "\udcff"])
def test_other_keys_are_refused(key: str):
    with pytest.raises(FieldRuleError):
        key_of(key)


@given(OBJECTS, st.randoms(use_true_random=False))
def test_spaces_and_the_order_of_members_make_no_other_request(value: dict, random):
    def shuffled(inner: object) -> object:
        if isinstance(inner, list):
            return [shuffled(each) for each in inner]
        if isinstance(inner, dict):
            members = list(inner.items())
            random.shuffle(members)
            return {name: shuffled(each) for name, each in members}
        return inner

    plain = json.dumps(value).encode()
    other = json.dumps(shuffled(value), indent=3, ensure_ascii=False).encode("utf-8", "replace")

    assert told(plain) == told(other)


@given(OBJECTS, OBJECTS)
def test_other_bodies_make_another_request(one: dict, other: dict):
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert (told(json.dumps(one).encode()) == told(json.dumps(other).encode())) == same


def test_the_method_the_path_and_the_query_tell_requests_apart():
    requests = [
        told(),
        told(method="DELETE"),
        told(path=("", "api", "v1", "locks", "a", "b")),
        told(path=(*PATH[:-1], "a%2Fb")),
        told(query={"reason": ["x"]}),
        told(query={"reason": ["x", "y"]}),
        told(query={"by": ["x"]}),
        told(b"{}"),
    ]

    assert len(set(requests)) == len(requests)
    assert told(query={"a": ["1"], "b": ["2"]}) == told(query={"b": ["2"], "a": ["1"]})


def test_numbers_count_as_they_are_written():
    written = [b'{"a":1}', b'{"a":1.0}', b'{"a":"1"}', b'{"a":9007199254740993}', b'{"a":1e400}']

    assert len(set(map(told, [*written, b'{"a":9007199254740992}']))) == 6


@pytest.mark.parametrize("body", [b'{"a":' + b"[" * 30_000, b"\xff", b'{"a":"\\ud800"}'])
def test_what_cant_be_read_counts_as_it_is(body: bytes):
    assert told(body) == told(body) != told()
