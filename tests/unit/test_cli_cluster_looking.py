"""Who is asked how a cluster is, how soon it is told, and what is shown when somebody is silent."""

import io

import msgspec
import pytest

from gorilla.cli.at_once import AtOnce, each
from gorilla.cli.cluster_answers import remedy_of
from gorilla.cli.cluster_looking import MORE_S_MAX, leaders_view, look_around
from gorilla.cli.cluster_shown import Unanswered, around_views
from gorilla.cli.cluster_watching import document_of
from gorilla.cli.output import Output
from gorilla.cli.tables import laid_out
from gorilla.client.clock import now_s
from gorilla.client.errors import Refusal, Unauthenticated, Unavailable
from gorilla.client.ports import NotSent
from tests.support.cluster_views import Looks, address, view

REFUSED = NotSent("connection refused")
SLACK_S = 2.0
"""Of a busy machine."""


def shown(around, width=80):
    return "\n\n".join("\n".join(laid_out(one, width)) for one in around_views(around))


# -- who is asked


def test_a_follower_leads_to_the_leader():
    seen, led = view(3, node="n2"), view(3, node="n1")

    assert leaders_view(Looks(n2=seen, n1=led).only("n2")) is led


def test_behind_a_load_balancer_the_endpoints_are_asked_until_the_leader_answers():
    followers = [view(3, node="n2"), view(3, node="n3"), view(3, node="n2")]
    led = view(3, node="n1")

    assert leaders_view(Looks(*followers, led)) is led


def test_a_leader_that_cannot_be_asked_is_done_without():
    seen = view(3, node="n2")
    looks = Looks(seen)

    assert leaders_view(looks) is seen
    assert len(looks.asked) < 12


def test_a_change_waits_for_a_node_that_just_starts():
    looks, pauses = Looks(REFUSED, REFUSED, view(3)), []
    looks.patience_s = 60

    assert leaders_view(looks, pauses.append).node == "n1"
    assert len(pauses) == 2


def test_who_is_no_node_or_lets_nobody_in_says_so_itself():
    error = Unauthenticated(Refusal(code="unauthenticated", status=401, detail="Who are you?"))
    around = look_around(Looks(n1=error, n2=REFUSED))

    assert around.best is None
    assert around.no_answer() is error
    with pytest.raises(Unauthenticated):
        leaders_view(Looks(n1=error))


# -- how soon


def test_nobody_is_waited_for_longer_than_the_settings_say():
    looks = Looks(n1=Looks.SILENCE, n2=Looks.SILENCE, n3=REFUSED)
    began_s = now_s()

    around = look_around(looks)
    looks.close()

    assert now_s() - began_s < looks.patience_s + SLACK_S
    assert [one.failure for one in around.answers][2] == "connection refused"
    assert all(one.failure.startswith("no answer within 0.4") for one in around.answers[:2])
    with pytest.raises(Unavailable, match=r"no node answers \(http://127.0.0.1:4000: no answer"):
        raise around.no_answer()


def test_once_the_leader_has_told_nobody_else_is_waited_for_long():
    looks = Looks(n1=view(3, down=("n2",)), n2=Looks.SILENCE, n3=view(3, node="n3"))
    looks.patience_s = 60
    began_s = now_s()

    around = look_around(looks)
    looks.close()

    assert now_s() - began_s < 0.5 + SLACK_S
    assert around.best.node == "n1"
    assert [one.view is None for one in around.answers] == [False, True, False]


def test_members_that_a_node_tells_of_are_asked_too_and_not_for_long():
    minority = view(3, node="n2", leader=None, down=("n1", "n3"))
    looks = Looks(n2=minority, n1=Looks.SILENCE, n3=REFUSED).only("n2")
    looks.patience_s = 60
    began_s = now_s()

    around = look_around(looks)
    looks.close()

    assert now_s() - began_s < MORE_S_MAX + SLACK_S
    assert [one.url for one in around.answers] == [
        f"http://{address(name)}" for name in ("n2", "n1", "n3")
    ]
    assert not around.has_leader


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_at_a_terminal_a_line_tells_how_far_it_is_and_goes():
    looks, stderr = Looks(n1=REFUSED, n2=Looks.SILENCE), Terminal()
    look_around(looks, Output(color=False, stderr=stderr).passing)
    looks.close()

    assert "Asking: 1 of 2 answered…" in stderr.getvalue()
    assert stderr.getvalue().endswith("\r\x1b[K")


def test_a_quick_answer_has_no_such_line_and_a_log_never_has():
    quick, log = Terminal(), io.StringIO()
    look_around(Looks(n1=view(3)), Output(color=False, stderr=quick).passing)
    looks = Looks(n1=REFUSED, n2=Looks.SILENCE)
    look_around(looks, Output(color=False, stderr=log).passing)
    looks.close()

    assert (quick.getvalue(), log.getvalue()) == ("", "")


# -- what is shown


def test_without_a_quorum_it_is_shown_who_answers_who_does_not_and_what_to_do():
    minority = view(3, node="n2", leader=None, down=("n1", "n3"))
    around = look_around(Looks(n1=REFUSED, n2=minority, n3=REFUSED))

    told = shown(around)

    assert "Members    1 of 3 up, 2 needed: no quorum" in told
    assert "Leader     none, in term 7" in told
    table = told[told.index("ASKED") :].splitlines()
    assert [line.split(maxsplit=2)[1:] for line in table[1:4]] == [
        ["-", "no answer: connection refused"],
        ["n2", "no leader in term 7, 1 of 3 members up"],
        ["-", "no answer: connection refused"],
    ]
    assert "start n1 or n3, or mend the way to it. 1 more member must be up." in " ".join(
        told.split()
    )
    asked = document_of(around).asked
    assert [(one.node, one.leader, one.failure) for one in asked] == [
        (None, None, "connection refused"),
        ("n2", None, None),
        (None, None, "connection refused"),
    ]


def test_where_enough_are_up_an_election_is_waited_for():
    seen = {name: view(3, node=name, leader=None) for name in ("n1", "n2")}
    around = look_around(Looks(**seen))

    assert "enough members are up to elect a leader" in remedy_of(around).lower()


def test_where_nobody_answers_the_endpoints_are_what_is_shown():
    around = look_around(Looks(n1=REFUSED))
    document = document_of(around)

    assert "no answer: connection refused" in shown(around)
    assert "gorilla context show" in shown(around)
    assert isinstance(document, Unanswered)
    assert "No node answers" in document.unavailable
    assert msgspec.to_builtins(document)["asked"][0]["failure"] == "connection refused"


def test_a_healthy_cluster_has_no_table_of_who_was_asked():
    around = look_around(Looks(n1=view(3), n2=view(3, node="n2"), n3=view(3, node="n3")))

    assert "ASKED" not in shown(around)
    assert len(document_of(around).asked) == 3
    assert remedy_of(around) == ""


# -- at once


def test_what_many_do_comes_in_the_order_in_which_it_was_asked_for():
    assert each(range(200), lambda number: number + 1) == list(range(1, 201))
    assert each([], str) == []


def test_what_goes_wrong_at_once_is_raised_where_it_is_waited_for():
    working = AtOnce([0], lambda number: 1 // number)

    with pytest.raises(ZeroDivisionError):
        working.wait()
    assert working.left == 0
