"""Calls for machines and operators: is the node alive, is it ready, what does it count."""

from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from gorilla.api.answers import Answer, answer_json
from gorilla.api.requests import Call
from gorilla.service.cluster import ClusterService, Readiness
from gorilla.wire.bodies import CheckBody, HealthBody, ReadyBody
from gorilla.wire.fields import one_of
from gorilla.wire.problems import ProblemCode, ProblemError

METRICS_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
