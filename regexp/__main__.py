"""The `regexp` command."""

from regexp.cli.program import program


def main() -> None:
    """Run the command line, and end the process with one of the statuses in regexp.errors."""
    with program("interrupted; the same command starts again or goes on from its checkpoints") as words:
        # Imported here, so that Ctrl-C during the imports ends as it does later.
        from regexp.cli.command import run_command

        run_command(words)


if __name__ == "__main__":
    main()
