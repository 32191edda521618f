"""A node is told to stop while a request waits for what will not come."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.real_cluster import call, running_nodes

pytestmark = pytest.mark.e2e


def test_a_read_that_a_stopping_node_can_not_confirm_is_answered_and_delays_nothing(tmp_path):
    with running_nodes(tmp_path, GORILLA_NODE_STOP_DEADLINE_S="20") as nodes:
        leader = nodes.leader()
        for name in set(nodes.names) - {leader}:
            nodes.signal(name, signal.SIGSTOP)

        with ThreadPoolExecutor(1) as beside:
            reading = beside.submit(call, nodes.url(leader), "GET", "/api/v1/locks/a")
            # It goes on serving for a moment, so the read comes in time whoever is first.
            (code,) = nodes.stop(leader)
            reply = reading.result()

    assert (reply.status, reply.body["code"]) == (503, "no_quorum")
    assert code == 0
