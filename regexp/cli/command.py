"""What the `regexp` command does with what was typed."""

import os
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from regexp.cli.arguments import Arguments, read_arguments
from regexp.cli.completion import complete
from regexp.cli.help import format_help
from regexp.cli.hydra_parser import give_words
from regexp.cli.sweep_cautions import find_repeated_runs
from regexp.config.compose import make_command_composer, make_composer, register_schema
from regexp.config.hydra_config.null_option import replace_null_option
from regexp.config.hydra_config.search_path import Options, extend_loader
from regexp.config.job import Job
from regexp.config.words.yaml_files import typed_files
from regexp.errors import SUCCESS, ConfigError, StorageError
from regexp.utils import exit_codes
from regexp.utils.storage_errors import describe_storage_error


def run_command(words: list[str]) -> int:
    """Check all that was typed, let Hydra run it, and return the exit status.

    Args:
        words: the words after the program's name.
    """
    if "--version" in words:
        print(f"regexp {version('regexp')}")
        return SUCCESS
    with exit_codes.report_errors():
        if {"-h", "--help"} & set(words):
            print(format_help(find_options(words)), end="")
            return SUCCESS
        check_current_directory()
        arguments = read_arguments(words)
        if arguments.completion_shell is not None:
            complete(arguments.completion_shell)
            return SUCCESS
        if arguments.needs_configuration:
            arguments, _ = compose_jobs(arguments)
        run_hydra(arguments)
    return exit_codes.exit_status()


def find_options(words: list[str]) -> Options:
    """Return the options that can be chosen on a command line, those in the user's own directories included.

    Raises:
        ConfigError: such a directory does not exist.
    """
    try:
        arguments = read_arguments(words)
    except ConfigError:  # who asks for help need not know how flags are typed
        return Options(make_composer().loader)
    loader = make_composer(arguments.config_dir, arguments.config_name).loader
    return Options(extend_loader(loader, arguments.config_name, arguments.overrides))


def check_current_directory() -> None:
    """Raise StorageError if the current directory has been deleted."""
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise StorageError("the current directory no longer exists; change to one that does") from error


def compose_jobs(arguments: Arguments) -> tuple[Arguments, list[Job]]:
    """Return the jobs of a command line, and print their warnings.

    Returns:
        The command line, which is a sweep also where an experiment says so, and its jobs.

    Raises:
        ConfigError: lists every mistake in the command line.
    """
    composer = make_command_composer(arguments.config_dir, arguments.config_name)
    arguments = replace(arguments, multirun=composer.is_sweep(arguments.overrides, arguments.multirun))
    jobs = composer.compose_command_line(arguments.overrides, arguments.multirun)
    cautions = [warning for job in jobs for warning in job.warnings]
    if arguments.multirun:
        cautions += find_repeated_runs(arguments.overrides)
    for warning in dict.fromkeys(cautions):
        exit_codes.print_error(f"warning: {warning}")
    return arguments, jobs


def run_hydra(arguments: Arguments) -> None:
    """Let Hydra run a command line that has been checked.

    Args:
        arguments: the command line.

    Raises:
        ConfigError: Hydra refuses the command line.
        StorageError: Hydra cannot write a file.
    """
    # Without this, Hydra catches every error and exits with status 1.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    from regexp.execution.launching.other_launchers import follow_other_launchers
    from regexp.execution.launching.task import command

    register_schema()  # --info composes, though nothing has been composed to check it
    follow_other_launchers()
    try:
        with typed_files(), give_words(replace_null_option(arguments.hydra_words())):
            command()
    except SystemExit as hydra_exit:  # Hydra has printed the reason
        exit_codes.record_status(ConfigError.status if hydra_exit.code else SUCCESS)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(str(error).strip()) from error
    except OSError as error:
        if error.filename is None or exit_codes.is_raised_by_training(error):
            raise
        raise StorageError(describe_storage_error(error, Path(error.filename))) from error
