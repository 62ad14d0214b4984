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


def _status(arguments: list[str]) -> int:
    """Run Hydra, and make one message of whatever it objects to."""
    # Imported here, so that Ctrl-C during the imports ends as it does later.
    import os

    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from regexp import exits
    from regexp.composition import explain, refuse_null_groups, register_schema
    from regexp.errors import ConfigError, StorageError
    from regexp.usage import usage

    if {"-h", "--help"} & set(arguments):
        print(usage(), end="")
        return 0
    # Hydra's own way with errors is to exit with 1, whatever happened.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    register_schema()
    from regexp.train import command

    with exits.reported():
        refuse_null_groups(arguments)
        try:
            command()
        except (HydraException, OmegaConfBaseException, YAMLError) as error:
            raise ConfigError(explain(error)) from error
        except OSError as error:
            if exits.ours(error):
                raise
            if error.filename is None:  # what OmegaConf raises for a file that holds no mapping
                raise ConfigError(str(error)) from error
            raise StorageError(
                f"{error.filename} cannot be made: {error.strerror}; choose another folder with hydra.run.dir=DIR"
            ) from error
    return exits.status()


if __name__ == "__main__":
    main()
