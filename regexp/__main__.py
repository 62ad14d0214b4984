"""The `regexp` command."""

import sys


def main() -> None:
    """Run the command line; ends with one of the statuses in regexp.errors."""
    try:
        sys.exit(_status(sys.argv[1:]))
    except KeyboardInterrupt as interrupt:
        signal = getattr(interrupt, "signal", 0)
        if not signal:  # the second Ctrl-C, or one before training
            print("regexp: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(128 + (signal or 2))


def _status(words: list[str]) -> int:
    """Check everything that was typed, then let Hydra run it."""
    # Imported here, so that Ctrl-C during the imports ends as it does later.
    import os
    from importlib.metadata import version

    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from regexp.cli.arguments import read_arguments
    from regexp.cli.help import usage
    from regexp.config.compose import command_composer
    from regexp.errors import SUCCESS, ConfigError, StorageError
    from regexp.utils import exit_codes

    if {"-h", "--help"} & set(words):
        print(usage(), end="")
        return 0
    if "--version" in words:
        print(f"regexp {version('regexp')}")
        return 0
    # Hydra's own way with errors is to exit with 1, whatever happened.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    with exit_codes.errors_reported():
        try:
            os.getcwd()
        except FileNotFoundError as error:
            raise StorageError("the current folder is no longer there; change into one that is") from error
        arguments = read_arguments(words)
        if arguments.composes:
            composer = command_composer(arguments.config_dir, arguments.config_name)
            jobs = composer.jobs(arguments.overrides, arguments.multirun)
            for warning in dict.fromkeys(warning for job in jobs for warning in job.warnings):
                exit_codes.print_error(f"warning: {warning}")
        sys.argv[1:] = arguments.ordered
        from regexp.execution.train import command

        try:
            command()
        except SystemExit as end:  # Hydra's end, after it has said why
            exit_codes.set_status(ConfigError.status if end.code else SUCCESS)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(str(error).strip()) from error
        except OSError as error:
            if exit_codes.raised_while_training(error):
                raise
            raise StorageError(
                f"{error.filename} cannot be made: {error.strerror}; choose another folder with hydra.run.dir=DIR"
            ) from error
    return exit_codes.status()


if __name__ == "__main__":
    main()
