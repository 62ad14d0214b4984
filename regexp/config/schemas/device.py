"""The schema of the device."""

from dataclasses import dataclass

from regexp.config.fields import shared


@dataclass
class DeviceConfig:
    """The device and precision to compute with."""

    kind: str = shared(
        "auto", "kind of device; auto: cuda, else mps, else cpu", choices=("auto", "cpu", "cuda", "mps"), identity=False
    )
    index: int | None = shared(
        None, "index of the GPU, if there are several; null: the current one", at_least=0, identity=False
    )
    precision: str = shared(
        "float32",
        "precision of parameters and arithmetic; bfloat16: float32 parameters, matrix products in bfloat16",
        choices=("float32", "float64", "bfloat16"),
    )
    threads: int | None = shared(
        None,
        "number of CPU threads; null: one, or torch's default where the layers are large",
        at_least=1,
        at_most=1024,
        identity=False,
    )
    graphs: bool = shared(
        False,
        "launch all steps of an epoch at once as a CUDA graph, in cohorts of at most 64 runs; for small networks",
        identity=False,
    )
