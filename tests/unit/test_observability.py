"""Log lines and metrics."""

import io
import json
import logging
import re

import pytest
from prometheus_client import generate_latest

from gorilla.api.metrics import RequestMetrics
from gorilla.observability import Metrics, reference_page, set_up_logging

log = logging.getLogger("gorilla.test")


@pytest.fixture(autouse=True)
def _root_logger():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_text_line_says_when_how_bad_which_node_and_what():
    out = io.StringIO()
    set_up_logging("info", "text", "n1", out)

    log.warning("disk %d%% full", 91)

    at, level, node, *message = out.getvalue().split()
    assert (at[10], at[-1], level, node) == ("T", "Z", "warning", "n1")
    assert " ".join(message) == "disk 91% full"


def test_a_json_line_is_one_object_with_the_request_it_was_said_for():
    out = io.StringIO()
    set_up_logging("info", "json", "n1", out)

    try:
        int("no")
    except ValueError:
        log.exception("failed", extra={"request_id": "r-1"})

    (line,) = out.getvalue().splitlines()
    fields = json.loads(line)
    assert fields["requestId"] == "r-1"
    assert (fields["level"], fields["node"], fields["message"]) == ("error", "n1", "failed")
    assert "ValueError: invalid literal" in fields["exception"]


def test_what_a_client_sent_cannot_look_like_a_line_of_ours():
    out = io.StringIO()
    set_up_logging("info", "text", "n1", out)

    log.info("owner %s", "me\r\n2026-01-01T00:00:00.000Z error   n1 forged")

    assert len(out.getvalue().splitlines()) == 1


def test_lines_below_the_level_are_not_written_and_libraries_stay_quiet():
    out = io.StringIO()
    set_up_logging("info", "text", "n1", out)

    log.debug("detail")
    logging.getLogger("aiohttp.access").info("GET /")

    assert out.getvalue() == ""


def test_metrics_of_two_nodes_in_one_process_do_not_meet():
    first, second = Metrics("n1", "0.1.0"), Metrics("n2", "0.1.0")

    first.locks_held.set(3)

    assert b"gorilla_locks_held 3.0" in generate_latest(first.registry)
    assert b"gorilla_locks_held 0.0" in generate_latest(second.registry)
    assert b'gorilla_node_info{node="n2",version="0.1.0"} 1.0' in generate_latest(second.registry)


def test_the_metrics_of_requests_stand_in_the_reference_page_and_meet_no_others():
    metrics, requests = Metrics("n1", "0.1.0"), RequestMetrics()
    requests.observe("/api/v1/locks", "GET", 200, 0.001)
    metrics.registry.register(requests)

    exposed = generate_latest(metrics.registry).decode()
    families = [line.split()[2] for line in exposed.splitlines() if line.startswith("# TYPE")]

    assert len(families) == len(set(families))
    ours = {n for n in families if n.startswith("gorilla_") and not n.endswith("_created")}
    assert ours == set(re.findall(r"(?m)^\| `(gorilla_\w+)` \|", reference_page()))
