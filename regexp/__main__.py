"""The `regexp` command."""

import os
import sys
from signal import SIGINT

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from regexp import exits
from regexp.composition import explain, register_schema
from regexp.errors import SIGNAL, ConfigError
from regexp.usage import usage


def main() -> None:
    """Run the command line; ends with one of the statuses in regexp.errors."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(usage(), end="")
        return
    # Hydra's own way with errors is to exit with 1, whatever happened.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    register_schema()
    from regexp.train import command

    try:
        command()
    except (HydraException, OmegaConfBaseException) as error:
        exits.complain(explain(error))
        exits.leave(ConfigError.status)
    except KeyboardInterrupt:
        exits.complain("interrupted; the same command goes on from the last checkpoint")
        exits.leave(SIGNAL + SIGINT)
    sys.exit(exits.status())


if __name__ == "__main__":
    main()
