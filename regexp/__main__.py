"""The `regexp` command."""

import os
import sys
import traceback
from signal import SIGINT

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from regexp import exits
from regexp.composition import explain, register_schema
from regexp.errors import SIGNAL, ConfigError, Interrupted, StorageError
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
    except (ValueError, OSError) as error:
        # Hydra lets some of these through: a group set to null, an output folder that cannot be made.
        if _ours(error):
            raise
        exits.complain(str(error))
        exits.leave(StorageError.status if isinstance(error, OSError) else ConfigError.status)
    except Interrupted as interrupted:
        exits.leave(SIGNAL + interrupted.signal)
    except KeyboardInterrupt:
        exits.complain("interrupted; the same command goes on from the last checkpoint")
        exits.leave(SIGNAL + SIGINT)
    sys.exit(exits.status())


def _ours(error: Exception) -> bool:
    """Whether an error came out of our own task, and is a bug."""
    return any(frame.f_globals["__name__"] == "regexp.train" for frame, _ in traceback.walk_tb(error.__traceback__))


if __name__ == "__main__":
    main()
