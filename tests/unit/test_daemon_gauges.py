"""What the metrics show of the parts of a node."""

import asyncio
import errno
import math
import shutil

from gorilla.config import load_config
from gorilla.consensus.disk import DirectoryDisk
from gorilla.consensus.gate import ConsensusGate
from gorilla.daemon.gauges import Gauges
from gorilla.daemon.serving import build_services
from gorilla.observability import Metrics
from gorilla.service.time import SystemClock
from tests.support.membership import founder


def free_shown(metrics):
    return metrics.registry.get_sample_value("gorilla_data_free_bytes")


async def shown(free_bytes):
    """What is shown once the gauges have looked."""
    gate, metrics = ConsensusGate(founder(1)), Metrics("n1", "1.0.0")
    config = load_config(None, {"GORILLA_MEMBERS": "n1=127.0.0.1:4001/127.0.0.1:4101"})
    services = build_services(config, "n1", gate, SystemClock(), "1.0.0", print)
    assert math.isnan(free_shown(metrics))
    gauges = Gauges(metrics, gate, services, lambda: 0, free_bytes)
    gauges.start()
    gauges.stop()
    await services.close()
    return free_shown(metrics)


async def test_the_free_space_of_the_data_directory_is_shown(tmp_path):
    with DirectoryDisk(tmp_path / "data") as disk:
        told = await shown(disk.free_bytes)

    assert abs(told - shutil.disk_usage(tmp_path).free) < 1024**3


async def test_free_space_that_cannot_be_had_is_not_a_number_and_stops_nobody():
    def refused():
        raise OSError(errno.EIO, "Input/output error")

    assert math.isnan(await asyncio.wait_for(shown(refused), 5))
