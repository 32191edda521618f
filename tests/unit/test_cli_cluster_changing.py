"""A change of the cluster is shown, asked for once, and its end told as it is."""

import io
import json
import os
import signal

import pytest

from gorilla.cli.cluster_changing import How, change
from gorilla.cli.cluster_outlook import Kind, Wanted
from gorilla.cli.cluster_watching import until_healthy, watch
from gorilla.cli.failures import CommandError, Exit
from gorilla.cli.output import Output
from gorilla.client.errors import ChangeRefused, OutcomeUnknown, Refusal, Unavailable
from gorilla.client.ports import NotSent
from gorilla.wire.problem_body import ProblemBody
from tests.support.cluster_views import Looks, report, view


class Screen:
    """A command line that writes here, and a person who says yes or no."""

    def __init__(self, *, form="table", says=True):
        self.stdout, self.stderr = io.StringIO(), io.StringIO()
        self.out = Output(form, color=False, stdout=self.stdout, stderr=self.stderr)
        self.questions = []
        self.says = says

    def confirm(self, question, *, yes):
        self.questions.append((question, yes))
        if not (yes or self.says):
            raise CommandError("Nothing was done.", Exit.CONFLICT)


def how(**changes):
    options = {"dry_run": False, "yes": False, "force": False, "watch": False, "timeout_s": 30.0}
    return How(**{**options, **changes})


class Asked:
    """The change itself; remembers how it was asked for."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def __call__(self, *, dry_run):
        self.asked.append(dry_run)
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


REMOVE = Wanted(kind=Kind.REMOVE, member="n3")
STEPS = ("remove n3",)


def refused(reason):
    problem = ProblemBody(
        type="urn:x", title="x", status=409, detail="No.", code="change_refused",
        error_message="No.", request_id="1", reason=reason,
    )  # fmt: skip
    return ChangeRefused(Refusal(code="change_refused", status=409, detail="No.", problem=problem))


def test_a_change_is_planned_asked_about_and_made_once():
    screen = Screen()
    ask = Asked(report("n1", "n2", steps=STEPS), report("n1", "n2", steps=STEPS, done=True))

    change(screen, Looks(view(3)), REMOVE, how(), ask)

    assert ask.asked == [True, False]
    assert screen.questions == [("Fewer may fail after it. Go on?", False)]
    assert "What will be done:\n  1. remove n3" in screen.stderr.getvalue()
    assert screen.stdout.getvalue().startswith("Done:\n  remove n3\n")


def test_a_no_changes_nothing():
    screen, ask = Screen(says=False), Asked(report("n1", "n2", steps=STEPS))

    with pytest.raises(CommandError):
        change(screen, Looks(view(3)), REMOVE, how(), ask)

    assert ask.asked == [True]


def test_a_change_without_steps_is_not_asked_about():
    screen, ask = Screen(says=False), Asked(report("n1", "n2", "n3"))

    change(screen, Looks(view(3)), Wanted(kind=Kind.TRANSFER, member="n1"), how(), ask)

    assert ask.asked == [True]
    assert screen.questions == []


@pytest.mark.parametrize("form", ["table", "json"])
def test_who_leads_already_is_told_so_and_that_is_done(form):
    screen, ask = Screen(form=form), Asked(report("n1", "n2", "n3"))

    change(screen, Looks(view(3)), Wanted(kind=Kind.TRANSFER, member="id-n1"), how(), ask)

    told = screen.stdout.getvalue()
    if form == "json":
        assert json.loads(told)["done"] is True
    else:
        assert told.startswith("Nothing was to be done: n1 leads already.\n")


def test_a_dry_run_of_nothing_is_no_change_that_was_made():
    screen, ask = Screen(form="json"), Asked(report("n1", "n2", "n3"))

    change(screen, Looks(view(3)), Wanted(kind=Kind.TRANSFER, member="n1"), how(dry_run=True), ask)

    assert json.loads(screen.stdout.getvalue())["steps"] == []


def test_a_change_whose_fate_is_unknown_is_not_asked_for_again():
    screen = Screen()
    ask = Asked(report("n1", "n2", steps=STEPS), OutcomeUnknown("no answer"))

    with pytest.raises(OutcomeUnknown):
        change(screen, Looks(view(3)), REMOVE, how(yes=True), ask)

    assert ask.asked == [True, False]
    assert "Look at gorilla cluster status" in screen.stderr.getvalue()


@pytest.mark.parametrize(("reason", "shown"), [("no_quorum", True), ("exists", False)])
def test_a_refusal_for_the_quorum_shows_the_quorum_and_others_do_not(reason, shown):
    screen, ask = Screen(), Asked(refused(reason))

    with pytest.raises(ChangeRefused):
        change(screen, Looks(view(3, down=("n2",))), REMOVE, how(yes=True), ask)

    assert ("no quorum" in screen.stderr.getvalue()) == shown
    assert ask.asked == [True]


def test_force_is_told_sternly_and_the_loss_of_the_quorum_is_in_the_question():
    screen = Screen()
    ask = Asked(report("n1", "n2", steps=STEPS), report("n1", "n2", steps=STEPS, done=True))

    change(screen, Looks(view(3, down=("n2",))), REMOVE, how(force=True), ask)

    assert "--force skips the checks" in screen.stderr.getvalue()
    assert screen.questions[0][0].startswith("The cluster will have NO QUORUM.")


def test_without_a_leader_nothing_is_asked_for():
    ask = Asked()

    with pytest.raises(Unavailable, match="n1 knows no leader"):
        change(Screen(), Looks(view(3, leader=None)), REMOVE, how(), ask)

    assert ask.asked == []


# -- watching


def test_waiting_for_health_tells_what_is_missing_once_and_ends():
    cluster = Looks(
        view(3, down=("n3",)), view(3, down=("n3",)), NotSent("connection refused"), view(3)
    )
    screen, pauses = Screen(), []

    until_healthy(cluster, screen.out, pause=pauses.append)

    assert screen.stderr.getvalue().splitlines() == [
        "Waiting: n3 can't be reached.",
        "Waiting: No node answers (http://balancer:4000: connection refused). Nothing was done.",
        "The cluster is healthy.",
    ]
    assert len(pauses) == 3


def test_waiting_for_health_has_an_end_that_is_no_success():
    cluster = Looks(view(3, down=("n3",)))
    screen, pauses = Screen(), []

    with pytest.raises(CommandError, match="Not healthy after 5 s: n3") as ended:
        until_healthy(cluster, screen.out, limit_s=5, pause=pauses.append)

    assert ended.value.code == Exit.CONFLICT
    assert "itself is made" in str(ended.value)


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_watched_status_is_page_after_page_and_tells_when_nobody_answers(form):
    class Interrupted(Looks):
        """Ctrl-C comes while it is asked for the fourth time."""

        def ask(self, url, timeout_s):
            if len(self.asked) == 3:
                os.kill(os.getpid(), signal.SIGINT)
            return super().ask(url, timeout_s)

    before = signal.getsignal(signal.SIGINT)
    cluster = Interrupted(view(3), NotSent("connection refused"), view(3, node="n1"))
    screen = Screen(form=form)

    assert watch(cluster, screen.out, 0.01) == signal.SIGINT

    assert signal.getsignal(signal.SIGINT) is before
    told = screen.stdout.getvalue()
    assert "\x1b" not in told
    if form == "json":
        pages = [json.loads(line) for line in told.splitlines()]
        assert [page.get("healthy") for page in pages[:3]] == [True, None, True]
        assert len(pages) in {3, 4}
    else:
        assert told.count("MEMBER") >= 2
        assert "no answer: connection refused" in told
