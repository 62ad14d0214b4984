"""The composer of jobs: from the words of a command line to checked configurations, all mistakes reported at once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override
from hydra.types import RunMode

from regexp.config import override_errors
from regexp.config.composing.experiment_sweeps import find_swept_experiments, list_params, warn_of_ignored_sweep
from regexp.config.composing.templates import TemplateComposer
from regexp.config.hydra_config import file_errors
from regexp.config.hydra_config.key_rules import find_hydra_problems
from regexp.config.hydra_config.null_option import replace_null_option
from regexp.config.hydra_config.search_path import Options, extend_loader
from regexp.config.hydra_config.sweepers import is_search
from regexp.config.job import Job
from regexp.config.overrides import expand_grid, is_hydra_override, read_overrides
from regexp.config.words.as_typed import problems_as_typed
from regexp.config.words.parsing import parse_override
from regexp.errors import ConfigError
from regexp.utils.progress import track_progress


class Composer:
    """A composer of configurations that gives the same results as Hydra, only faster.

    Attributes:
        loader: Hydra's loader, which composes.
        config_name: the name of the primary configuration.
        options: the options that can be chosen, those below hydra.searchpath of the last command line included.
        reuse_jobs: whether composing the same overrides again returns the same Job.
    """

    def __init__(self, loader: ConfigLoaderImpl, config_name: str) -> None:
        """Make a composer from Hydra's loader, with our schema registered."""
        self.loader, self.config_name, self.options = loader, config_name, Options(loader)
        self.reuse_jobs = False
        self._templates = TemplateComposer(loader, config_name)
        self._jobs: dict[tuple[str, ...], Job] = {}

    def compose_job(self, words: Sequence[str], problems: Sequence[str] = ()) -> Job:
        """Return the job of the words of a command line, without flags, that trains one run.

        Raises:
            ConfigError: lists `problems`, which were found earlier, and every mistake in the words.
        """
        words = replace_null_option(words)
        if tuple(words) in self._jobs and not problems:
            return self._jobs[tuple(words)]
        parts = self._templates.compose_parts(words, self.options, problems)
        choices = parts.template.hydra.runtime.choices
        with file_errors.problems_with_files(parts.values, choices, self.options.directories):
            job = parts.template.make_job(parts.values, parts.overrides, parts.problems)
        if self.reuse_jobs:
            self._jobs[tuple(words)] = job
        return job

    def compose_command_line(self, words: Sequence[str], multirun: bool) -> list[Job]:
        """Return the jobs of a command line: one, or those of a sweep.

        A sweep's jobs are composed as Hydra will compose them: it adds the mode to its own overrides. Which jobs a
        sweeper other than Hydra's basic one will launch cannot be foreseen, so only what they share is checked.

        Args:
            words: the words of the command line, without flags.
            multirun: whether the command line has the flag --multirun.

        Raises:
            ConfigError: lists every mistake in any of the jobs.
        """
        multirun = self.is_sweep(words, multirun)
        with problems_as_typed(words, multirun):
            return self._compose_command_line(replace_null_option(words), multirun)

    def is_sweep(self, words: Sequence[str], multirun: bool = False) -> bool:
        """Return whether a command line is a sweep: its flag says so, or a file that it chooses, such as an experiment.

        Args:
            words: the words of the command line, without flags.
            multirun: whether the command line has the flag --multirun.

        Raises:
            ConfigError: hydra.searchpath cannot be read.
        """
        if multirun or "hydra.mode=RUN" in words:
            return multirun
        self.options = Options(extend_loader(self.loader, self.config_name, words))
        overrides, _ = read_overrides(replace_null_option(words), self.options.groups)
        # A mistake in a key of Hydra's, which is reported later, must not hide what the files say.
        mode = self._find_mode([text for text in overrides if not is_hydra_override(text)])
        return mode == RunMode.MULTIRUN

    def expand_experiment(self, words: Sequence[str]) -> list[list[str]]:
        """Return the words of each run that an experiment asks for: those of its sweep, or one.

        Args:
            words: the words of a command line that trains one run; their values replace those of the sweep.
        """
        words = list(words)
        if not any(word.startswith("experiment=") for word in words) or self._find_mode(words) != RunMode.MULTIRUN:
            return [words]
        hydra = self._templates.compose_parts(words, self.options).template.hydra
        return [words] if is_search(hydra) else expand_grid([*list_params(hydra), *words], self.options.loader)

    def _find_mode(self, overrides: Sequence[str]) -> RunMode | None:
        """Return the mode that the files chosen by overrides ask for; None where they cannot be composed."""
        shared_overrides = [text for text in overrides if not parse_override(text).is_sweep_override()]
        try:
            mode: RunMode | None = self._templates.compose_parts(shared_overrides, self.options).template.hydra.mode
        except ConfigError:  # raised where the jobs are composed, with all other problems
            return None
        return mode

    def _compose_command_line(self, words: Sequence[str], multirun: bool) -> list[Job]:
        """Return the jobs of a command line; see `compose_command_line`."""
        self.options = Options(extend_loader(self.loader, self.config_name, words))
        overrides, problems = read_overrides(words, self.options.groups, multirun)
        hydra_problems = find_hydra_problems(overrides, multirun, self.options.hydra_groups)
        overrides = [text for text in overrides if text not in hydra_problems]
        problems += hydra_problems.values()
        if multirun:
            overrides = [*overrides, "hydra.mode=MULTIRUN"]
        shared_overrides = [text for text in overrides if not parse_override(text).is_sweep_override()]
        try:
            hydra = self._templates.compose_parts(shared_overrides, self.options).template.hydra
        except ConfigError:  # the same problems are raised with all others
            return self.compose_jobs([shared_overrides if multirun else overrides], problems)
        if not multirun and hydra.mode != RunMode.MULTIRUN:
            [job] = self.compose_jobs([overrides], problems)
            return [replace(job, warnings=(*job.warnings, *warn_of_ignored_sweep(hydra, overrides)))]
        problems += find_swept_experiments(
            overrides, lambda words: self._templates.compose_parts(words, self.options).template.hydra
        )
        combinations, sweeps = [shared_overrides], []
        if not is_search(hydra):
            try:
                params = list_params(hydra)
                combinations = expand_grid([*params, *overrides], self.options.loader)
                sweeps = [
                    override for override in map(parse_override, [*params, *overrides]) if override.is_sweep_override()
                ]
            except ConfigError as error:
                problems += str(error).splitlines()  # raised below, with all others
        return self.compose_jobs(combinations, problems, sweeps)

    def compose_jobs(
        self, combinations: Sequence[Sequence[str]], problems: Sequence[str] = (), sweeps: Sequence[Override] = ()
    ) -> list[Job]:
        """Return the jobs of many runs, each of which is given by its overrides.

        Args:
            combinations: the overrides of each run.
            problems: problems found earlier, to raise with those of the runs.
            sweeps: the overrides with several values that the runs were made from.

        Raises:
            ConfigError: lists `problems` and every mistake in any of the runs; a mistake that only some of the runs
                have is listed once, with their number, and one that all values of an override have is listed once.
        """
        jobs = []
        counts = Counter(problems)
        for words in track_progress(combinations, "checking"):
            try:
                jobs.append(self.compose_job(words, problems))
            except ConfigError as error:
                counts.update(str(error).splitlines())
        if counts:
            counts = override_errors.merge_swept_problems(counts, sweeps)
            raise ConfigError("\n".join(override_errors.count_runs(counts, len(combinations), problems)))
        return jobs
