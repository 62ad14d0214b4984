"""An experiment of the literature: what was published, what is to be reached, and what is claimed of differences."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# The values of the keys that were swept, as the experiment file writes them: {"augmentation": "affine"}.
Values = Mapping[str, str]


@dataclass(frozen=True)
class Configuration:
    """A configuration of an experiment, with the figures of the original.

    Attributes:
        values: the values of the swept keys that tell it from the others.
        label: its name in tables and plots.
        published: the test error that the original reports, in percent; None where it reports none.
        target: the test error to reach, in percent: the measured mean is to be at or below it; None for none.
    """

    values: Values
    label: str
    published: float | None = None
    target: float | None = None


@dataclass(frozen=True)
class Claim:
    """A statement of the original about two configurations, which the comparison of the runs supports or not.

    Attributes:
        text: the statement.
        values: the values of the swept keys of the configuration that it is about.
        verdict: what that configuration is, compared with the baseline of its table: "better" or "worse".
        grows: whether the statement is that its difference to the baseline grows from the first table to the last.
    """

    text: str
    values: Values
    verdict: str = "better"
    grows: bool = False


@dataclass(frozen=True)
class Experiment:
    """An experiment, which is one command or several.

    Attributes:
        name: the option of the group `experiment`, and the directory of its runs.
        title: the heading of its section.
        source: the paper, and the place in it.
        setup: what is trained, and what the original leaves open and how it was chosen.
        baseline: the values of the configuration that others are compared with.
        configurations: the configurations with a name of their own; all others are named by their values.
        claims: what the original says of differences.
        is_cocktail: whether every combination of several regularizers is trained, and the comparison is that of the
            combination that validation chooses with each regularizer alone.
        split: the key of whose values each has a table of its own; None for one table.
        plot: the kind of its plot, one of plots.PLOTS.
        commands: the words after `regexp` of each of its commands; by default that of the file of its name.
        small: overrides that train it in seconds, to try everything but the figures.
    """

    name: str
    title: str
    source: str
    setup: str
    baseline: Values
    configurations: tuple[Configuration, ...] = ()
    claims: tuple[Claim, ...] = ()
    is_cocktail: bool = False
    split: str | None = None
    plot: str = "errors"
    commands: tuple[tuple[str, ...], ...] = ()
    small: tuple[str, ...] = field(default=("data=digits", "epochs=2", "seed=0,1"))

    def list_commands(self, small: bool = False) -> list[list[str]]:
        """Return the words after `regexp` of each command.

        Args:
            small: whether to train in seconds.
        """
        commands = self.commands or ((f"experiment={self.name}",),)
        return [[*words, *(self.small if small else ())] for words in commands]
