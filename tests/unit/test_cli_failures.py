"""Every failure is a sentence or two and an exit code of the table."""

import os

import pytest

from gorilla.cli.failures import CommandError, Exit, OutputClosed, explained
from gorilla.client import errors
from gorilla.client.refusals import KINDS, raised
from gorilla.wire.bodies import HolderBody
from gorilla.wire.looking import ExplanationBody, LinkBody
from gorilla.wire.problem_body import ProblemBody
from gorilla.wire.problems import PROBLEMS, FieldError, ProblemCode

STAMP = "2025-05-04T10:11:12"

CODES = {
    Exit.USAGE: {
        ProblemCode.INVALID_REQUEST,
        ProblemCode.INVALID_JSON,
        ProblemCode.BODY_TOO_LARGE,
        ProblemCode.UNSUPPORTED_MEDIA_TYPE,
        ProblemCode.METHOD_NOT_ALLOWED,
    },
    Exit.DENIED: {ProblemCode.UNAUTHENTICATED, ProblemCode.FORBIDDEN},
    Exit.NOT_FOUND: {
        ProblemCode.LOCK_NOT_FOUND,
        ProblemCode.SESSION_NOT_FOUND,
        ProblemCode.MEMBER_NOT_FOUND,
        ProblemCode.NOT_FOUND,
    },
    Exit.CONFLICT: {
        ProblemCode.LOCK_HELD,
        ProblemCode.WAIT_TIMEOUT,
        ProblemCode.DEADLOCK,
        ProblemCode.COOLING_DOWN,
        ProblemCode.WAIT_REPLACED,
    },
}


def problem(code: ProblemCode, **extra) -> ProblemBody:
    kind = PROBLEMS[code]
    return ProblemBody(
        type="about:blank",
        title=kind.title,
        status=kind.status,
        detail=kind.detail,
        code=code,
        error_message=kind.detail,
        request_id="r1",
        **extra,
    )


def refusal(code: ProblemCode, **extra) -> errors.Refusal:
    body = problem(code, **extra)
    return errors.Refusal(
        code=code, status=body.status, detail=body.detail, request_id="r1", problem=body
    )


def explanation(sentence: str) -> ExplanationBody:
    return ExplanationBody(
        resource="a", owner=None, held=True, position=None, ready=False, ahead=0, holders=(),
        estimate=None, sentence=sentence,
    )  # fmt: skip


@pytest.mark.parametrize("code", list(ProblemCode))
def test_every_problem_of_the_api_has_words_and_an_exit_code(code):
    status = PROBLEMS[code].status
    error: Exception
    if code in KINDS and issubclass(KINDS[code], errors.RequestRefused):
        error = raised(refusal(code))
        expected = next((exit_ for exit_, codes in CODES.items() if code in codes), Exit.REFUSED)
    elif status == 504:
        error, expected = errors.OutcomeUnknown("no answer", refusal(code), 2), Exit.UNKNOWN
    else:
        assert status == 503
        error, expected = errors.Unavailable("nobody answers", refusal(code), 2), Exit.UNAVAILABLE

    told = explained(error)

    assert told.code is expected
    assert told.sentence.endswith((".", "?"))
    assert told.sentence[0].isupper()
    assert "\n" not in told.sentence


def test_a_field_that_is_wrong_is_named():
    fields = (FieldError("timeout", "must be more than 0"), FieldError("owner", "is missing"))

    told = explained(raised(refusal(ProblemCode.INVALID_REQUEST, errors=fields)))

    assert told == ("timeout: must be more than 0; owner: is missing.", Exit.USAGE)


def test_of_a_held_lock_the_cluster_explains_why():
    held = explained(raised(refusal(ProblemCode.LOCK_HELD, explain=explanation("b holds a."))))
    waited = explained(raised(refusal(ProblemCode.WAIT_TIMEOUT, explain=explanation("b holds a."))))
    bare = explained(raised(refusal(ProblemCode.LOCK_HELD)))

    assert held.sentence == "b holds a."
    assert waited.sentence.endswith("while the request waited for it. b holds a.")
    assert bare.sentence == "Another owner holds the lock."


def test_a_circle_of_waits_is_drawn_in_words():
    cycle = (
        LinkBody(owner="a", waits_for="x", held_by="b", holds=True),
        LinkBody(owner="b", waits_for="y", held_by="a", holds=True),
    )

    told = explained(raised(refusal(ProblemCode.DEADLOCK, cycle=cycle)))

    assert told.sentence.endswith("a waits for x of b, b waits for y of a.")


def test_what_the_client_itself_finds_has_words_too():
    lost = errors.LockLost("a", 7, errors.LossReason.EXPIRED)

    assert explained(lost).code is Exit.LOST
    assert explained(errors.AlreadyHeld("a", "me")).code is Exit.CONFLICT
    assert explained(errors.ClosedError()).code is Exit.SOFTWARE
    assert explained(errors.UnexpectedAnswer(refusal(ProblemCode.NOT_FOUND))).sentence.endswith(
        "Is the endpoint right?"
    )


def test_failures_of_this_machine_and_of_ours_have_codes_of_their_own():
    assert explained(CommandError("No.", Exit.USAGE)) == ("No.", Exit.USAGE)
    assert explained(KeyboardInterrupt()).code is Exit.INTERRUPTED
    assert explained(OutputClosed()) == ("", Exit.CLOSED_PIPE)
    assert explained(FileNotFoundError(2, "No such file", "a")) == ("a: No such file.", Exit.IO)
    assert explained(OSError("odd")) == ("odd.", Exit.IO)
    bug = explained(ZeroDivisionError("by zero"))
    assert bug.code is Exit.SOFTWARE
    assert "ZeroDivisionError: by zero" in bug.sentence


def test_what_is_no_text_is_told_as_that():
    with pytest.raises(UnicodeEncodeError) as caught:
        os.fsdecode(b"caf\xe9").encode()

    told = explained(caught.value)

    assert told == ("'caf\\udce9' can't be sent: it is no UTF-8.", Exit.USAGE)


def test_the_name_of_a_node_is_told_as_it_is():
    error = errors.Unavailable("n3 knows no leader")

    assert explained(error).sentence == "n3 knows no leader. Nothing was done."
    assert explained(errors.Unavailable("no node")).sentence == "No node. Nothing was done."


def test_every_exit_code_has_a_meaning():
    assert len({code.meaning for code in Exit}) == len(Exit)
    assert all(code.meaning.endswith(".") for code in Exit)


def test_a_holder_in_the_answer_is_no_trouble():
    holder = HolderBody(owner="b", expire_at=STAMP, fencing_token=3)

    assert explained(raised(refusal(ProblemCode.LOCK_HELD, holder=holder))).code is Exit.CONFLICT
