"""How the fields of requests on members are read."""

import json
import re

import msgspec
import pytest
from hypothesis import given, strategies as st

from gorilla.config.addresses import parse_address
from gorilla.config.sections import NAME_PATTERN
from gorilla.wire.fields import FieldRuleError
from gorilla.wire.membership import (
    MEMBER_NAME_PATTERN,
    AddMemberBody,
    ChangeReportBody,
    HostPort,
    MoveMemberBody,
    TransferBody,
    address_of,
    flag_of,
    member_key_of,
    member_name_of,
    seconds_of,
)

PUBLISHED_ADDRESSES = msgspec.json.schema(HostPort)["pattern"]


def test_a_member_may_be_called_what_the_configuration_may_call_it():
    assert MEMBER_NAME_PATTERN == NAME_PATTERN


@pytest.mark.parametrize("text", ["a", "n-1_b", "N1", "a" * 63])
def test_good_names(text: str):
    assert member_name_of(json.dumps(text).encode()) == text


@pytest.mark.parametrize("text", ["", "-a", "a-", "a b", "a/b", "ä", "a\n", "a" * 64])
def test_bad_names(text: str):
    with pytest.raises(FieldRuleError):
        member_name_of(json.dumps(text).encode())


@pytest.mark.parametrize(
    "text",
    ["a:1", "10.0.0.7:4100", "node-4.example.org:65535", "[::1]:4100", "[fd00::7:a]:80"],
)
def test_good_addresses_are_good_to_the_rest_of_the_program_too(text: str):
    assert str(parse_address(address_of(json.dumps(text).encode()))) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "a", ":1", "a:", "a:0", "a:65536", "a:01", "a:-1", "::1:80", "[a]:80", "[::g]:80",
        "[1.2.3.4]:80", "a:1\n", " a:1", "a:1 ", "http://a:1", "a/b:1", "0.0.0.0:1", "[::]:1",
        "a" * 254 + ":1", "a\x00b:1",
    ],
)  # fmt: skip
def test_bad_addresses(text: str):
    with pytest.raises(FieldRuleError):
        address_of(json.dumps(text).encode())


@given(st.from_regex(PUBLISHED_ADDRESSES, fullmatch=True))
def test_every_address_that_the_document_allows_is_taken(text: str):
    if not text.endswith("\n"):  # what $ means to Python alone
        assert address_of(json.dumps(text).encode()) == text


@pytest.mark.parametrize("raw", [b"1", b"null", b"true", b"[]", b"{}", b'"\\ud800"'])
def test_only_strings_are_addresses_and_names(raw: bytes):
    for rule in (address_of, member_name_of):
        with pytest.raises(FieldRuleError):
            rule(raw)


def test_a_member_is_named_by_id_or_name_or_not_at_all():
    assert member_key_of(b'"n1"') == "n1"
    assert member_key_of(b"null") is None
    for raw in (b'""', b"1", b'"a\\u0000"', json.dumps("a" * 256).encode()):
        with pytest.raises(FieldRuleError):
            member_key_of(raw)


def test_a_switch_is_true_or_false_and_nothing_else():
    assert (flag_of("true"), flag_of("false")) == (True, False)
    for text in ("", "1", "0", "yes", "True", "TRUE"):
        with pytest.raises(FieldRuleError):
            flag_of(text)


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("300", 300), ("2.5", 2.5), ("030", 30)])
def test_good_seconds(text: str, value: float):
    assert seconds_of(1, 300)(text) == value


@pytest.mark.parametrize("text", ["", "0", "0.99", "300.1", "301", "-1", "1e2", "nan", "inf", "٣"])
def test_bad_seconds(text: str):
    with pytest.raises(FieldRuleError):
        seconds_of(1, 300)(text)


def test_requests_on_members_encode_without_what_is_not_given():
    asked = [
        AddMemberBody(name="n4", peer="a:1", http="a:2"),
        MoveMemberBody(http="a:2"),
        TransferBody(),
    ]
    assert [json.loads(msgspec.json.encode(body)) for body in asked] == [
        {"name": "n4", "peer": "a:1", "http": "a:2"},
        {"http": "a:2"},
        {},
    ]


def test_a_report_has_the_published_fields():
    assert [field.encode_name for field in msgspec.structs.fields(ChangeReportBody)] == [
        "done", "steps", "members", "quorum", "tolerates",
    ]  # fmt: skip


def test_the_published_name_pattern_is_the_rule():
    assert re.fullmatch(MEMBER_NAME_PATTERN, "n1")
    assert not re.fullmatch(MEMBER_NAME_PATTERN, "-")
