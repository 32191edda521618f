"""What many calls have in common: the problems they may answer with, and how fresh a read is."""

from typing import Final

from gorilla.api.requests import Call
from gorilla.api.routing import Follow, Parameter
from gorilla.wire.fields import Query, one_of
from gorilla.wire.idempotency import REPLAYED_HEADER
from gorilla.wire.problems import ProblemCode as Code

Headers = tuple[tuple[str, str], ...]

NOT_SERVED: Final = (Code.NO_QUORUM, Code.STARTING, Code.DRAINING, Code.OVERLOADED)
"""What a read may be answered with."""

WRITE: Final = (*NOT_SERVED, Code.OUTCOME_UNKNOWN)
"""What a command may be answered with."""

BODY: Final = (Code.INVALID_JSON, Code.BODY_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE)
"""What a call that reads a body may be answered with."""

AGE: Final = (
    ("X-Gorilla-Age-Ms", "With consistency=stale: about how old the answer is (milliseconds)."),
)

_LINEARIZABLE: Final = "linearizable"
_STALE: Final = "stale"

CONSISTENCY: Final = Parameter(
    name="consistency",
    description="linearizable: as of now, confirmed by a majority. stale: at once, from the "
    "node's own copy; the header X-Gorilla-Age-Ms says about how old it is.",
    schema={"type": "string", "enum": [_LINEARIZABLE, _STALE], "default": _LINEARIZABLE},
)

PAGE_MAX: Final = 1_000
PAGE_DEFAULT: Final = 100

_consistency_of = one_of(_LINEARIZABLE, _STALE)


def follows(parameters: dict[str, str], *operation_ids: str) -> tuple[Follow, ...]:
    """Return the calls that an answer makes possible, all with the same parameters."""
    return tuple(Follow(operation_id=each, parameters=parameters) for each in operation_ids)


def page_size(what: str) -> Parameter:
    """Return the parameter that says how many items a page has."""
    return Parameter(
        name="limit",
        description=f"How many {what} at most.",
        schema={"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT},
    )


def is_stale(query: Query) -> bool:
    """Take the consistency that a query asks for; whether it is a stale read's."""
    return query.optional("consistency", _consistency_of, _LINEARIZABLE) == _STALE


def only_consistency(call: Call) -> bool:
    """Take a query that may ask for a consistency, and for nothing else; note what is wrong."""
    query = call.query()
    stale = is_stale(query)
    query.note_unknown()
    return stale


def age_header(age_ms: int | None, *, stale: bool) -> Headers:
    """Return the header that says how old a stale read's answer is."""
    return (("X-Gorilla-Age-Ms", str(age_ms or 0)),) if stale else ()


def replayed_header(*, replayed: bool) -> Headers:
    """Return the header that says that an answer is given again."""
    return ((REPLAYED_HEADER, "true"),) if replayed else ()
