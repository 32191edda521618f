"""Every row of the documented API as a case that runs against any node of any cluster.

A case takes an aiohttp session and the base URL of a node, uses resources of its own, and leaves
nothing held for long. :data:`CASES` lists them all.
"""

from tests.support import (
    api_cases_asking,
    api_cases_fields,
    api_cases_locks,
    api_cases_looking,
    api_cases_policies,
    api_cases_queueing,
    api_cases_repairs,
    api_cases_requests,
    api_cases_sessions,
    api_cases_waiting,
)
from tests.support.api_caller import CASES, Case

__all__ = [
    "CASES",
    "Case",
    "api_cases_asking",
    "api_cases_fields",
    "api_cases_locks",
    "api_cases_looking",
    "api_cases_policies",
    "api_cases_queueing",
    "api_cases_repairs",
    "api_cases_requests",
    "api_cases_sessions",
    "api_cases_waiting",
]
