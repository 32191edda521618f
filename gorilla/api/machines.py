"""Calls for machines and operators: is the node alive, is it ready, what does it count."""

from typing import Final

from prometheus_client import CollectorRegistry, generate_latest

from gorilla.api.answers import Answer, answer_json
from gorilla.api.requests import Call
from gorilla.service.cluster import ClusterService, Readiness
from gorilla.wire.bodies import CheckBody, HealthBody, ReadyBody
from gorilla.wire.fields import one_of
from gorilla.wire.problems import ProblemCode, ProblemError

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_role_of = one_of("leader")


class MachineCalls:
    """Handlers of ``/_health``, ``/_ready`` and ``/metrics``."""

    def __init__(self, cluster: ClusterService, registry: CollectorRegistry) -> None:
        """Take what they look at."""
        self._cluster = cluster
        self._registry = registry

    async def health(self, _call: Call) -> Answer:
        """``GET /_health``: 200 for as long as the event loop turns."""
        return answer_json(HealthBody())

    async def ready(self, call: Call) -> Answer:
        """``GET /_ready``: 200 when requests should be sent here; 503 with the reason otherwise."""
        query = call.query()
        verbose = query.optional("verbose", str, None) is not None
        role = query.optional("role", _role_of, None)
        query.finish()
        readiness = self._cluster.readiness()
        checks = _check_bodies(readiness) if verbose else ()
        if not readiness.ready:
            raise _not_ready(readiness, checks)
        if role is not None and not readiness.is_leader:
            raise ProblemError(
                ProblemCode.NOT_LEADER,
                extra={"checks": checks} if checks else None,
            )
        if verbose:
            return answer_json(ReadyBody(ready=True, leader=readiness.is_leader, checks=checks))
        return answer_json(ReadyBody(ready=True, leader=readiness.is_leader))

    async def metrics(self, _call: Call) -> Answer:
        """``GET /metrics``."""
        return Answer(200, generate_latest(self._registry), METRICS_TYPE)


def _check_bodies(readiness: Readiness) -> tuple[CheckBody, ...]:
    return tuple(
        CheckBody(name=check.name, ok=check.ok, detail=check.detail) for check in readiness.checks
    )


def _not_ready(readiness: Readiness, checks: tuple[CheckBody, ...]) -> ProblemError:
    failed = [check for check in readiness.checks if not check.ok]
    names = {check.name for check in failed}
    if "not_draining" in names:
        code = ProblemCode.DRAINING
    elif "leader_known" in names:
        code = ProblemCode.NO_QUORUM
    else:
        code = ProblemCode.STARTING
    detail = "Not ready: " + "; ".join(check.detail for check in failed) + "."
    return ProblemError(code, detail, extra={"checks": checks} if checks else None)
