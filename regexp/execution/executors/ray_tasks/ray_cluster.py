"""Ray, started on this machine or joined where it runs. Imports no torch, and Ray only when it is needed."""

import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from regexp.errors import ConfigError, SetupError
from regexp.utils.messages import first_line
from regexp.utils.signals import STOP_SIGNALS
from regexp.utils.system_limits import count_cores

# The memory for what tasks return, in bytes. Ray would reserve a third of the machine's.
OBJECT_STORE_BYTES = 256 * 2**20
# Read when Ray is imported. Without the first one, a command that `uv run` has started would have Ray pack the current
# directory and install everything anew for each worker. The second one keeps Ray from sending anything.
_VARIABLES = {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_USAGE_STATS_ENABLED": "0"}
# Has Ray take the loopback address for that of this machine. It is what Ray does by itself on macOS and Windows; the
# address that ray.init takes is replaced by the machine's, and Ray would listen to the whole network.
_LOOPBACK_VARIABLES = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
_LOOPBACK_HOSTS = ("127.", "localhost:", "[::1]:")


def connect(address: str | None) -> None:
    """Start Ray on this machine, or join a cluster; nothing happens where this process has done so already.

    It ends with this process, so that the batches of a search need not start it anew.

    Args:
        address: the address of a cluster, HOST:PORT or "auto"; None to start Ray on this machine.

    Raises:
        SetupError: Ray does not start, or there is no cluster at the address.
    """
    is_local = address is None or address.startswith(_LOOPBACK_HOSTS)
    os.environ.update(_VARIABLES | _LOOPBACK_VARIABLES if is_local else _VARIABLES)
    import ray

    if ray.is_initialized():
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        options |= {"num_cpus": count_cores(), "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        with _keep_signal_handlers():
            ray.init(address=address or "local", **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        if address is None:
            raise SetupError(f"Ray does not start on this machine: {first_line(error)}") from error
        raise SetupError(
            f"hydra.launcher.ray.address={address}: no Ray answers there ({first_line(error)}); `ray start --head` "
            "starts one, which may want a token: type RAY_AUTH_MODE=token before the command. Without the key Ray "
            "starts on this machine"
        ) from error
    node_address = ray.util.get_node_ip_address()
    if address is None and not node_address.startswith("127."):
        ray.shutdown()
        raise SetupError(f"this version of Ray would listen to the network at {node_address}, so it was ended at once")


def disconnect() -> None:
    """End Ray, or leave the cluster. Tasks that run are ended."""
    import ray

    ray.shutdown()


def count_slots(num_cpus: float, num_gpus: float, address: str | None) -> int:
    """Return how many tasks can run at the same time.

    Args:
        num_cpus: the processor cores of a task.
        num_gpus: the GPUs of a task.
        address: the address of the cluster that was joined; None for this machine.

    Raises:
        ConfigError: this machine has too little for a task, which would wait forever. To a cluster, others may come.
    """
    import ray

    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    slots = sum(count_machine_slots(machine, num_cpus, num_gpus) for machine in machines)
    if slots == 0 and address is None:
        machine = machines[0]
        key, need = ("num_cpus", num_cpus) if machine.get("CPU", 0) < num_cpus else ("num_gpus", num_gpus)
        unit = "CPU" if key == "num_cpus" else "GPU"
        count = machine.get(unit, 0)
        raise ConfigError(
            f"hydra.launcher.ray.{key}={need:g}: this machine has {count:g} {unit}{'' if count == 1 else 's'}; choose "
            f"at most {count:g}, or a cluster by hydra.launcher.ray.address=HOST:PORT"
        )
    return max(1, slots)


def count_tasks_on_a_machine(num_cpus: float) -> int:
    """Return how many tasks may share the memory of one machine at most."""
    import ray

    return max(1, *(int(node["Resources"].get("CPU", 0) / num_cpus) for node in ray.nodes() if node["Alive"]), 1)


def count_machine_slots(machine: Mapping[str, float], num_cpus: float, num_gpus: float) -> int:
    """Return how many tasks can run on a machine at the same time; see `count_slots`."""
    slots = int(machine.get("CPU", 0) / num_cpus)
    return slots if num_gpus == 0 else min(slots, int(machine.get("GPU", 0) / num_gpus))


@contextmanager
def _keep_signal_handlers() -> Iterator[None]:
    """Put back the handlers of signals that ask to stop: Ray sets one of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
