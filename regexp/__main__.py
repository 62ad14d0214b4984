"""The `regexp` command."""

import sys


def main() -> None:
    """Run the command line, and end the process with one of the statuses in regexp.errors."""
    try:
        sys.exit(run_command(sys.argv[1:]))
    except KeyboardInterrupt as interrupt:
        signal = getattr(interrupt, "signal", 0)
        if not signal:  # a second Ctrl-C, or one before training
            print("regexp: interrupted; the same command starts again or goes on from its checkpoints", file=sys.stderr)
        sys.exit(128 + (signal or 2))


def run_command(words: list[str]) -> int:
    """Check all that was typed, let Hydra run it, and return the exit status.

    Args:
        words: the words after the program's name.
    """
    # Imported here, so that Ctrl-C during the imports ends as it does later.
    import os
    from importlib.metadata import version
    from pathlib import Path

    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from regexp.cli.arguments import read_arguments
    from regexp.cli.help import format_help
    from regexp.cli.hydra_parser import give_words
    from regexp.config.compose import make_command_composer
    from regexp.errors import SUCCESS, ConfigError, StorageError
    from regexp.utils import exit_codes
    from regexp.utils.storage_errors import describe_storage_error

    if {"-h", "--help"} & set(words):
        print(format_help(), end="")
        return SUCCESS
    if "--version" in words:
        print(f"regexp {version('regexp')}")
        return SUCCESS
    # Without this, Hydra catches every error and exits with status 1.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    with exit_codes.report_errors():
        try:
            os.getcwd()
        except FileNotFoundError as error:
            raise StorageError("the current directory no longer exists; change to one that does") from error
        arguments = read_arguments(words)
        if arguments.needs_configuration:
            composer = make_command_composer(arguments.config_dir, arguments.config_name)
            jobs = composer.compose_command_line(arguments.overrides, arguments.multirun)
            for warning in dict.fromkeys(warning for job in jobs for warning in job.warnings):
                exit_codes.print_error(f"warning: {warning}")
        from regexp.execution.train import command

        try:
            with give_words(arguments.hydra_words()):
                command()
        except SystemExit as hydra_exit:  # Hydra has printed the reason
            exit_codes.record_status(ConfigError.status if hydra_exit.code else SUCCESS)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(str(error).strip()) from error
        except OSError as error:
            if error.filename is None or exit_codes.is_raised_by_training(error):
                raise
            raise StorageError(describe_storage_error(error, Path(error.filename))) from error
    return exit_codes.exit_status()


if __name__ == "__main__":
    main()
