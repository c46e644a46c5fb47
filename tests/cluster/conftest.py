"""A Ray cluster of several nodes on this machine, on loopback only, one CPU each; nodes can be killed."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inferkit.cluster.pool import ray_module

NODES = 3


class LocalCluster:
    """`address` is what `--ray` takes; `kill` ends a node and everything on it at once."""

    def __init__(self, nodes: int) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "node_ip_address": "127.0.0.1"}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self._cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1") for _ in range(nodes)]
        self.address: str = self._cluster.address

    def kill(self, node_id: str) -> None:
        """End the node whose id begins like this, without any warning to what runs there."""
        node = next(node for node in self.nodes if node.node_id.startswith(node_id))
        self.nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        """End every node."""
        self._cluster.shutdown()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs pip install ray")
    monkeypatch.setenv("INFERKIT_LEASE_DIR", str(tmp_path / "leases"))
    monkeypatch.setenv("INFERKIT_BUSY_HOST", "accept")  # here it is not about times
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])))
    ray_module("127.0.0.1:0")  # the first to import it: it looks at its environment only then
    cluster = LocalCluster(NODES)
    yield cluster
    cluster.close()
