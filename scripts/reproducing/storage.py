"""The report with its figures and plots on disk: a section stays when the runs that it was written from are gone.

docs/results.md                     the page
docs/results/NAME.json              the figures of each experiment
docs/pictures/results_NAME.png      its plot
"""

from pathlib import Path

from reproducing.experiment import Experiment
from reproducing.measurement import measure, read_measurement
from reproducing.plots import save_plot
from reproducing.registry import EXPERIMENTS
from reproducing.report import write_report
from reproducing.selection import Selection, select_runs

_PICTURES = "pictures"


class Storage:
    """The report of experiments, and what it is written from.

    Attributes:
        path: the page.
        outputs: the directory below which the experiments were trained.
        small: whether they were trained at the scale of seconds.
    """

    def __init__(self, path: Path, outputs: Path, small: bool = False) -> None:
        self.path, self.outputs, self.small = path, outputs, small

    def select(self, experiment: Experiment) -> Selection:
        """Return the runs of an experiment that have ended."""
        return select_runs(experiment, self.outputs, self.small)

    def write(self, experiment: Experiment, selection: Selection) -> None:
        """Store the figures and the plot of an experiment, and write the page with all stored figures."""
        measurement = measure(experiment, selection, self.small)
        measurement.write(self._figures(experiment.name))
        save_plot(experiment, measurement, selection, self.path.parent / _PICTURES / f"results_{experiment.name}.png")
        files = {name: self._figures(name) for name in EXPERIMENTS}
        measurements = {name: read_measurement(file) for name, file in files.items() if file.exists()}
        write_report(self.path, EXPERIMENTS, measurements, _PICTURES)

    def _figures(self, name: str) -> Path:
        """Return the file with the figures of an experiment."""
        return self.path.with_suffix("") / f"{name}.json"
