"""The sweeper hydra/sweeper=optuna, as a plugin that Hydra finds.

Every Hydra program on the machine imports this module, so the work is done elsewhere and imported when it is needed.
The names of groups and keys are those of hydra-optuna-sweeper, as far as both have them.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

# The arguments of each sampler and pruner with their defaults, which are Optuna's but for seeds and the first rung.
GROUPS: dict[str, dict[str, dict[str, Any]]] = {
    "sampler": {
        "tpe": {
            "seed": 0,
            "n_startup_trials": 10,
            "n_ei_candidates": 24,
            "multivariate": False,
            "group": False,
            "constant_liar": True,
        },
        "random": {"seed": 0},
        "grid": {"seed": 0},
        "cmaes": {
            "seed": 0,
            "n_startup_trials": 1,
            "sigma0": None,
            "popsize": None,
            "use_separable_cma": False,
            "with_margin": False,
            "lr_adapt": False,
            "consider_pruned_trials": False,
        },
        "gp": {"seed": 0, "n_startup_trials": 10, "deterministic_objective": False},
        "nsgaii": {
            "seed": 0,
            "population_size": 50,
            "mutation_prob": None,
            "crossover_prob": 0.9,
            "swapping_prob": 0.5,
        },
    },
    "pruner": {
        "none": {},
        "median": {"n_startup_trials": 5, "n_warmup_steps": 0, "interval_steps": 1, "n_min_trials": 1},
        "halving": {"min_resource": 1, "reduction_factor": 4, "min_early_stopping_rate": 0, "bootstrap_count": 0},
        "hyperband": {"min_resource": 1, "max_resource": "auto", "reduction_factor": 3, "bootstrap_count": 0},
    },
}


@dataclass
class OptunaSweeperConfig:
    """The schema of hydra/sweeper=optuna.

    Attributes:
        sampler: what proposes configurations: its name and its arguments.
        pruner: what ends trials early: its name and its arguments.
        objective: the metric that is optimized, or a list of several; null: what early_stopping.monitor names.
        direction: minimize or maximize, or a list with one for each objective; null: what is better for the metric.
        n_trials: the number of trials of the study, those of earlier commands included.
        n_jobs: the number of trials that train at the same time; auto: as many as fill the cohorts of the workers.
        n_seeds: the number of runs of a trial, which differ in their seed.
        timeout: the time after which no further trial begins, in seconds; null: none.
        confirm: the number of new seeds with which the best configurations are compared with the default one; 0: none.
        study_name: the name of the study and of its file; null: a name made from what is searched.
        params: the search space and fixed overrides, beside those that were typed.
    """

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"sampler": "tpe"}, {"pruner": "none"}])
    _target_: str = "hydra_plugins.regexp_search.OptunaSweeper"
    sampler: Any = None
    pruner: Any = None
    objective: Any = None
    direction: Any = None
    n_trials: Any = 20
    n_jobs: Any = "auto"
    n_seeds: Any = 1
    timeout: Any = None
    confirm: Any = 0
    study_name: Any = None
    params: dict[str, Any] = field(default_factory=dict)


def _register() -> None:
    """Tell Hydra of the sweeper and its groups."""
    store = ConfigStore.instance()
    store.store(group="hydra/sweeper", name="optuna", node=OptunaSweeperConfig, provider="regexp")
    for group, options in GROUPS.items():
        for name, arguments in options.items():
            node = {"name": name, **arguments}
            store.store(group=f"hydra/sweeper/{group}", name=name, node=node, provider="regexp")


_register()


class OptunaSweeper(Sweeper):
    """A sweeper that lets Optuna propose configurations, and trains them in batches."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher, and store the configuration loader, for `sweep`."""
        from hydra.core.plugins import Plugins

        self.config_loader, self.config = hydra_context.config_loader, config
        self.cohort_launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Search, and print what was found.

        Args:
            arguments: the overrides that were typed, some with several values or an interval.
        """
        from regexp.search.requirement import require_optuna

        require_optuna()
        from regexp.execution.searching.search import search

        assert self.config is not None
        search(arguments, self.settings, self.config, self.config_loader, self.cohort_launcher)
