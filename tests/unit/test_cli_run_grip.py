"""What `gorilla run` tells when nobody knows whether its lock was given."""

import pytest

from gorilla.cli.run_grip import Taker, Wish
from gorilla.client.errors import LockHeld, OutcomeUnknown, Refusal, Unavailable


class Refusing:
    """A client whose locks can't be had, for one reason."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def lock(self, *_args, **_options):
        return self

    def acquire(self):
        raise self.error


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (OutcomeUnknown("no answer"), True),
        (Unavailable("nobody is there"), False),
        (LockHeld(Refusal(code="lock_held", status=409, detail="ann has it")), False),
    ],
)
def test_for_how_long_a_lock_may_be_kept_that_nobody_uses_is_told(error, is_told: bool):
    told: list[str] = []
    wish = Wish(resource="report", timeout_s=60.0, wait_s=0.0, owner="ann", mode="exclusive")
    taker = Taker(Refusing(error), wish, lambda _lost: None, told.append)

    with pytest.raises(type(error)):
        taker.take()

    assert bool(told) is is_told
    assert all("for up to 60 s" in line for line in told)
