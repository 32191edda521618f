"""How the doctor reads what it is answered."""

import msgspec
import pytest
from prometheus_client import generate_latest

from gorilla.cli import doctor_looking as looking
from gorilla.cli.doctor import _merged
from gorilla.cli.doctor_findings import Check, ok, warning
from gorilla.cli.doctor_trips import code_of
from gorilla.client.errors import OutcomeUnknown, Refusal, RequestRefused, Unavailable
from gorilla.client.ports import HttpAnswer
from gorilla.observability import Metrics


def test_metrics_without_labels_are_read_and_others_left_out():
    metrics = Metrics("n1", "1.0.0")
    metrics.data_free_bytes.set(5e9)
    metrics.observe_sync(0.25)

    found = looking.figures_of(generate_latest(metrics.registry).decode())

    assert found["gorilla_data_free_bytes"] == 5e9
    assert found["gorilla_journal_sync_seconds_sum"] == 0.25
    assert found["process_open_fds"] > 0
    assert not any("{" in name for name in found)
    assert looking.figures_of("garbage\n# HELP x\nx y\n\n") == {}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Sun, 04 May 2025 10:11:12 GMT", 1746353472.0),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_a_date_is_read_or_left_out(text, seconds):
    assert looking._date_s(text) == seconds


def test_what_a_node_says_of_a_failure_is_passed_on():
    said = HttpAnswer(503, {}, msgspec.json.encode({"detail": "Not ready: no leader."}))
    strange = HttpAnswer(502, {}, b"<html>")

    assert looking._detail(said) == "Not ready: no leader."
    assert looking._told(said) == ": Not ready: no leader"
    assert looking._detail(strange) == "it answers 502"
    assert looking._told(strange) == ""


def test_names_of_one_host_are_one_place():
    members = {looking._places("http://127.0.0.1:4000"): "n1"}

    assert looking._matching(looking._places("http://localhost:4000"), members) == "n1"
    assert looking._matching(looking._places("http://localhost:4001"), members) is None
    assert looking._matching(looking._places("http://no.such.host.invalid:4000"), members) is None


def test_a_failure_has_a_code_whatever_kind_it_is():
    refused = RequestRefused(Refusal(code="forbidden", status=403, detail="No."))

    assert code_of(refused) == "forbidden"
    assert code_of(OutcomeUnknown("?")) == "outcome_unknown"
    assert code_of(Unavailable("nobody")) == "unavailable"
    told = Refusal(code="no_quorum", status=503, detail="No leader.")
    assert code_of(Unavailable("nobody", told)) == "no_quorum"


def test_what_is_said_of_several_in_the_same_words_is_one_line():
    findings = [
        ok(Check.READY, "n1", "It is ready."),
        ok(Check.READY, "n2", "It is ready."),
        warning(Check.READY, "n3", "It is drained.", "Undrain it."),
        ok(Check.DISK, "n1", "It is ready."),
    ]

    assert [(one.check.value, about) for one, about in _merged(findings)] == [
        ("ready", "n1, n2"),
        ("ready", "n3"),
        ("disk", "n1"),
    ]
