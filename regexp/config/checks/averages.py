"""Warnings about averages of the weights, and ensembles of snapshots, that do nothing."""

from collections.abc import Iterator

from regexp.config.schema import Config
from regexp.config.schemas.averaging import EMAConfig, SnapshotsConfig, SWAConfig
from regexp.utils.messages import format_value


def find_idle_averages(config: Config) -> Iterator[str]:
    """Yield a warning for each setting with which averages or snapshots do nothing."""
    averaging = config.averaging
    if isinstance(averaging, EMAConfig) and averaging.decay == 0:
        yield "averaging.decay=0 averages nothing: the average is the newest weights"
    if isinstance(averaging, SWAConfig):
        if averaging.first_epoch(config.epochs) == config.epochs:
            start = f"averaging.start={format_value(averaging.start)}"
            yield f"{start} averages the last of epochs={config.epochs} alone, which changes nothing; start earlier"
        if averaging.lr is None and averaging.anneal_epochs != SWAConfig().anneal_epochs:
            anneal_epochs = f"averaging.anneal_epochs={averaging.anneal_epochs}"
            yield f"{anneal_epochs} has no effect with averaging.lr=null: the schedule goes on as it is"
        remaining_epochs = config.epochs - averaging.first_epoch(config.epochs) + 1
        if averaging.lr is not None and averaging.anneal_epochs > remaining_epochs:
            yield (
                f"averaging.anneal_epochs={averaging.anneal_epochs} never reaches averaging.lr="
                f"{format_value(averaging.lr)} within the last {remaining_epochs} of epochs={config.epochs}"
            )
    if isinstance(averaging, SnapshotsConfig):
        yield from _find_idle_snapshots(averaging, config.epochs)


def _find_idle_snapshots(averaging: SnapshotsConfig, epochs: int) -> Iterator[str]:
    cycles, snapshots = f"averaging.cycles={averaging.cycles}", f"averaging.snapshots={averaging.snapshots}"
    if averaging.cycles > epochs:
        yield f"{cycles} are more than epochs={epochs}: a cycle takes one epoch at least, so that there are {epochs}"
    if averaging.cycles == 1 or epochs == 1:
        yield f"averaging=snapshots with {cycles} and epochs={epochs} takes one snapshot, and an ensemble needs two"
    elif averaging.snapshots == 1:
        yield f"{snapshots} is no ensemble: the network of the last cycle predicts alone; use 2 or more"
    elif averaging.snapshots is not None and averaging.snapshots > averaging.cycles:
        yield f"{snapshots} has no effect beyond {cycles}: there are no more snapshots than cycles"
