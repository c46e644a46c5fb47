"""The workers of a Ray cluster: one actor per GPU, or per CPU socket of a node, and tasks run on them to their end."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Self

from inferkit.cluster.schedule import PoolWorker, Schedule, Task
from inferkit.cluster.worker import Answer, ClusterWorker, probe_node
from inferkit.errors import BackendUnavailable, MeasurementError, UsageError
from inferkit.measure.jobs.interpreter import this_interpreter
from inferkit.version import __version__

Submit = Callable[[Any, PoolWorker, Task], Any]
Accept = Callable[[Task, PoolWorker, Answer], None]
_REACHED = 10.0  # seconds that a cluster's port may take to answer
_START = 180.0  # seconds that workers may take to start


def ray_module(address: str = "") -> Any:
    """Ray, with its usage reports turned off. Raises BackendUnavailable where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    host = "127.0.0.1" if address == "local" else address.rpartition(":")[0]
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            # Ray takes loopback for a mistake and looks for the machine's own address, unless clusters are off; this
            # only decides about addresses.
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        return import_module("ray")
    except ImportError as error:
        raise BackendUnavailable(f"a cluster needs Ray ({error})", "pip install 'ray>=2.40'") from error


class Pool:
    """Workers on every node of the cluster at `address` (`local` starts one here). Use as a context manager.

    `on_gpu`: an actor for every GPU; `on_cpu`: one for every CPU socket of a node that offers CPUs. Raises
    BackendUnavailable without Ray, UsageError for an address where there is no cluster, or one of another inferkit,
    MeasurementError where no worker can be started.
    """

    def __init__(self, address: str, *, on_gpu: bool, on_cpu: bool) -> None:
        self._ray = ray_module(address)
        self._connect(address)
        self._actors: dict[PoolWorker, Any] = {}
        try:
            for node in self._ray.nodes():
                if node["Alive"]:
                    self._start_on(node, on_gpu, on_cpu)
            self._meet()
        except BaseException:
            self.close()
            raise

    @property
    def workers(self) -> tuple[PoolWorker, ...]:
        """The workers that are usable."""
        return tuple(self._actors)

    @property
    def kinds(self) -> dict[str, int]:
        """The kinds of devices, and how many workers have one."""
        counts: dict[str, int] = {}
        for worker in self._actors:
            counts[worker.kind] = counts.get(worker.kind, 0) + 1
        return counts

    def put(self, value: Any) -> Any:
        """Keep a value in the cluster; each node fetches it once."""
        return self._ray.put(value)

    def ask(self, kind: str, call: Callable[[Any], Any]) -> Any:
        """What the first worker of a kind answers to a call."""
        return self._ray.get(call(next(actor for worker, actor in self._actors.items() if worker.kind == kind)))

    def run(
        self, tasks: Sequence[Task], submit: Submit, accept: Accept, say: Callable[[str], None] = lambda line: None
    ) -> None:
        """Do every task once. `submit` starts one on an actor, `accept` gets its answer, exactly once for each task.

        What a lost worker had is done by another. `say` gets a line for each. Raises MeasurementError where no worker
        is left for a task.
        """
        ray = self._ray
        schedule = Schedule(tasks)
        flying: dict[Any, PoolWorker] = {}
        while schedule.open:
            for worker in [worker for worker in self._actors if worker not in flying.values()]:
                task = schedule.take(worker)
                if task is not None:
                    flying[submit(self._actors[worker], worker, task)] = worker
            if not flying:
                raise MeasurementError(f"no worker is left for {', '.join(schedule.waiting[:3])}, …")
            (reference,), _ = ray.wait(list(flying), num_returns=1)
            worker = flying.pop(reference)
            try:
                answer = ray.get(reference)
            except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as error:
                # Perhaps it is only out of reach and still at work: it shall not hold its device any longer, and what
                # it may yet answer is not listened to.
                with contextlib.suppress(Exception):
                    ray.kill(self._actors[worker])
                del self._actors[worker]
                lost = schedule.lost(worker)
                say(f"{worker.name} is lost ({type(error).__name__})" + (f"; retrying {lost.name}" if lost else ""))
                continue
            except ray.exceptions.RayError as error:
                raise MeasurementError(f"{worker.name} failed: {error}") from error
            accept(schedule.finished(worker), worker, answer)

    def close(self) -> None:
        """End the actors and leave the cluster."""
        for actor in self._actors.values():
            with contextlib.suppress(Exception):
                self._ray.kill(actor)
        self._actors = {}
        self._ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        if port.isdigit():
            # Ray itself would try for minutes, and then end the process.
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHED).close()
            except OSError as error:
                raise UsageError(f"--ray {address}: no cluster answers: {error}") from error
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        home = this_interpreter().home
        if home is not None:  # a checkout: workers on this machine shall run the same one
            path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
            settings["runtime_env"] = {"env_vars": {"PYTHONPATH": path}}
        if address == "local":
            settings |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        try:
            self._ray.init(address=address, **settings)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UsageError(f"--ray {address}: no cluster answers: {error}") from error

    def _start_on(self, node: dict[str, Any], on_gpu: bool, on_cpu: bool) -> None:
        """Start actors on one node: for each GPU, and for each socket as far as the node offers CPUs."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ray, resources = self._ray, node["Resources"]
        on_node = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        name = f"{node['NodeManagerAddress']}/{node['NodeID'][:6]}"
        actor = ray.remote(ClusterWorker)
        if on_gpu:
            for index in range(int(resources.get("GPU", 0))):
                started = actor.options(num_gpus=1, num_cpus=0, scheduling_strategy=on_node, max_restarts=0)
                self._actors[PoolWorker(f"{name}/gpu{index}", "", "")] = started.remote(None, ())
        cpus = int(resources.get("CPU", 0))
        if on_cpu and cpus:
            probe = ray.remote(probe_node).options(num_cpus=0, scheduling_strategy=on_node, max_retries=0)
            try:
                sockets = ray.get(probe.remote(), timeout=_START)["sockets"]
            except ray.exceptions.RayError:
                return  # the node went away between being listed and being asked
            for which in list(sockets)[: max(1, min(len(sockets), cpus))]:
                share = max(1, cpus // len(sockets))
                started = actor.options(num_cpus=share, scheduling_strategy=on_node, max_restarts=0)
                self._actors[PoolWorker(f"{name}/socket{which}", "", "")] = started.remote(which, sockets[which])

    def _meet(self) -> None:
        """Ask every actor who it is; those that cannot start are left out."""
        ray = self._ray
        unknown, self._actors = self._actors, {}
        asked = {worker: actor.facts.remote() for worker, actor in unknown.items()}
        reasons = []
        for worker, reference in asked.items():
            try:
                facts = ray.get(reference, timeout=_START)
            except ray.exceptions.RayError as error:
                reasons.append(f"{worker.name}: {error}")
                continue
            if facts["version"] != __version__:
                raise UsageError(f"{worker.name} has inferkit {facts['version']}, this is {__version__}")
            self._actors[PoolWorker(worker.name, facts["kind"], facts["group"])] = unknown[worker]
        if not self._actors:
            why = "; ".join(reasons[:3]) or "the cluster has no device of the kind that is needed"
            raise MeasurementError(f"no worker of the cluster is usable: {why}")
