"""Optuna's plots of a study, as pictures."""

import io
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import optuna

# The plots by the names of their files: the function of optuna.visualization.matplotlib, and the fewest complete trials
# that it shows something of.
_PLOTS = {
    "search_history": ("plot_optimization_history", 1),
    "search_importances": ("plot_param_importances", 4),
    "search_slices": ("plot_slice", 2),
    "search_parallel": ("plot_parallel_coordinate", 2),
    "search_learning_curves": ("plot_intermediate_values", 1),
    "search_timeline": ("plot_timeline", 1),
}
# Those that name the objective at an axis.
_NAMED = ("plot_optimization_history", "plot_slice", "plot_parallel_coordinate")
_PARETO = {"search_pareto_front": ("plot_pareto_front", 2), "search_importances": ("plot_param_importances", 4)}


def draw_plots(study: optuna.Study) -> Iterator[tuple[str, bytes]]:
    """Yield the name of each plot that has something to show, and its content as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as plots

    complete = len(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))
    has_curves = any(trial.intermediate_values for trial in study.get_trials(deepcopy=False))
    for name, (function, min_trials) in (_PLOTS if len(study.directions) == 1 else _PARETO).items():
        if complete < min_trials or (function == "plot_intermediate_values" and not has_curves):
            continue
        with pyplot.style.context("default"), suppress(ValueError, RuntimeError):  # Optuna has nothing to draw
            options = {"target_name": (study.metric_names or [""])[0]} if function in _NAMED else {}
            yield name, _encode(getattr(plots, function)(study, **options))
        pyplot.close("all")


def _encode(axes: Any) -> bytes:
    """Return the figure of one or several axes as PNG."""
    figure = (axes.flat[0] if hasattr(axes, "flat") else axes).figure
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100, bbox_inches="tight")
    return content.getvalue()
