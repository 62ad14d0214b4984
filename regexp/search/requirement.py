"""The requirement of a search: Optuna, which is an extra."""

from regexp.errors import SetupError


def require_optuna() -> None:
    """Raise SetupError, with the command that installs it, if Optuna is missing."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise SetupError(
            "hydra/sweeper=optuna needs Optuna, which is not installed; type: uv sync --extra optuna, or: pip install "
            "'regexp[optuna]'"
        ) from error
