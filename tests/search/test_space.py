"""The space of a search: what words mean, and what a parameter's value looks like when it is typed."""

from typing import Any

import pytest
from optuna.distributions import FloatDistribution

from regexp.config.words.hydra_words import make_hydra_word
from regexp.errors import ConfigError
from regexp.search.checking import check_space
from regexp.search.space import SearchSpace, format_parameter, read_space


def read(*words: str) -> SearchSpace:
    """Return the space of words as they are typed."""
    return read_space([make_hydra_word(word, multirun=True) for word in words])


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("optimizer.lr=interval(0,1)", "FloatDistribution(high=1.0, log=False, low=0.0, step=None)"),
        ("epochs=interval(0.5,3.5)", "IntDistribution(high=3, log=False, low=1, step=1)"),
        ("optimizer.lr=interval(0.0,1)", "FloatDistribution(high=1.0, log=False, low=0.0, step=None)"),
        ("optimizer.lr=tag(log,interval(1e-4,1e-1))", "FloatDistribution(high=0.1, log=True, low=0.0001, step=None)"),
        ("optimizer.lr=tag(log, interval(1e-4, 1))", "FloatDistribution(high=1.0, log=True, low=0.0001, step=None)"),
        ("batch_size=tag(log,interval(8,256))", "IntDistribution(high=256, log=True, low=8, step=1)"),
        ("batch_size=tag(log,range(8,257))", "IntDistribution(high=256, log=True, low=8, step=1)"),
        ("epochs=range(2,10,step=3)", "IntDistribution(high=8, log=False, low=2, step=3)"),  # 2, 5, 8
        ("epochs=range(3)", "IntDistribution(high=2, log=False, low=0, step=1)"),
        ("epochs=range(9,0,step=-4)", "IntDistribution(high=9, log=False, low=1, step=4)"),  # 9, 5, 1
        ("model.dropout=range(0,0.6,0.3)", "FloatDistribution(high=0.3, log=False, low=0.0, step=0.3)"),
        ("normalization=none,batch", "CategoricalDistribution(choices=('none', 'batch'))"),
        ("normalization=choice(none,batch,none)", "CategoricalDistribution(choices=('none', 'batch'))"),
        ("model.hidden_sizes=[64],[32,16]", "CategoricalDistribution(choices=('[64]', '[32,16]'))"),
        ("seed=3", None),
        ("+augmentation.x.p=0.1,1", "CategoricalDistribution(choices=('0.1', '1'))"),
    ],
)
def test_a_word_has_its_distribution(word: str, text: str | None) -> None:
    space = read(word, "normalization=none,layer") if text is None else read("epochs=3", word)
    if text is None:
        assert (space.first_seed, space.fixed) == (3, ())
    else:
        assert repr(space.parameters[word.partition("=")[0]]) == text
        assert set(space.fixed) <= {"epochs=3"}


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["epochs=3"], "there is nothing to search"),
        (["seed=0,1"], "seed=0,1: a search has no seeds to choose from; hydra.sweeper.n_seeds=3"),
        (["optimizer.lr=interval(2,1)"], "must be below the second"),
        (["optimizer.lr=interval(0.1,0.1)"], "must be below the second"),
        (["optimizer.lr=tag(log,interval(0,1))"], "must be above 0"),
        (["epochs=interval(1.2,1.8)"], "takes whole numbers, and the interval has none"),
        (["epochs=range(5,5)"], "the range has no values"),
        (["epochs=tag(log,range(1,9,2))"], "with a step of 1"),
        (["optimizer.lr=tag(lgo,interval(0.1,1))"], "there is no tag lgo; the only one is tag(log, ...)"),
        (["optimizer.lr=tag(log,lin,interval(0.1,1))"], "there is no tag lin"),
        (["batch_size=tag(log,choice(8,16))"], "tag(log, ...) is for an interval or a range; leave it out"),
        (["optimizer.lr=interval(nan,1)"], "the ends of an interval must be finite numbers"),
        (["optimizer.lr=interval(0.1,inf)"], "the ends of an interval must be finite numbers"),
        (["epochs=1,2", "name=a,b"], "name=a,b: name decides no result, so there is nothing to search; choose one"),
        (["+predictions=true,false"], "predictions decides no result"),
    ],
)
def test_what_cannot_be_searched_is_refused(words: list[str], part: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(*words)
    assert part in str(error.value)


def test_the_last_word_of_a_key_counts() -> None:
    space = read("epochs=1,2", "model.dropout=0.1", "epochs=7", "model.dropout=0,0.5")
    assert space.fixed == ("epochs=7",)
    assert list(space.parameters) == ["model.dropout"]
    assert space.make_overrides({"model.dropout": "0.5"}) == ("epochs=7", "model.dropout=0.5")


@pytest.mark.parametrize(
    ("value", "low", "high", "step", "text"),
    [
        (0.00123456, 1e-4, 1.0, None, "0.001235"),
        (0.123451, 0.12345, 1.0, None, "0.1235"),
        (0.123446, 0.123446, 1.0, None, "0.123446"),  # rounded, it would lie below the interval
        (0.1 + 0.2, 0.0, 0.9, 0.1, "0.3"),
        (5e-05, 1e-5, 1.0, None, "5e-05"),
    ],
)
def test_a_number_is_typed_in_a_few_digits(value: float, low: float, high: float, step: Any, text: str) -> None:
    assert format_parameter(value, FloatDistribution(low, high, step=step)) == text


def test_a_grid_has_all_values_and_no_intervals() -> None:
    space = read("epochs=range(1,4)", "model.dropout=range(0,0.6,0.3)", "normalization=none,batch")
    assert space.list_grid() == {
        "epochs": [1, 2, 3],
        "model.dropout": [0.0, 0.3],
        "normalization": ["none", "batch"],
    }
    with pytest.raises(ConfigError, match=r"^model\.dropout: .* an interval has too many"):
        read("model.dropout=interval(0.0,1)").list_grid()


def test_only_what_is_wrong_whatever_the_others_are_is_a_mistake() -> None:
    space = read("epochs=1,2", "schedule.warmup_epochs=0,1", "model.dropout=interval(0.1,0.3)")

    def check(overrides: Any) -> None:
        problems = [f"{word}: is wrong" for word in overrides if word in wrong]
        if {"epochs=1", "schedule.warmup_epochs=1"} <= set(overrides):
            problems.append("schedule.warmup_epochs=1: too long")
        if problems:
            raise ConfigError("\n".join(problems))

    wrong: set[str] = set()
    assert check_space(space, check)["epochs"] == "1"
    wrong = {"epochs=2", "model.dropout=0.2"}
    with pytest.raises(ConfigError) as error:
        check_space(space, check)
    assert {"epochs=2: is wrong", "model.dropout=0.2: is wrong"} <= set(str(error.value).splitlines())


@pytest.mark.parametrize(
    ("word", "lines"),
    [
        # One problem of a key, or of all that an interval holds.
        ("model.dropou=interval(0.1,0.5)", ["model.dropou=0.1: no such key; did you mean model.dropout=0.1?"]),
        ("model.dropou=0.1,0.5", ["model.dropou=0.1: no such key; did you mean model.dropout=0.1?"]),
        ("model.dropout=interval(-3,-1)", ["model.dropout=-3: must be at least 0"]),
        # Two problems of a choice, whose other values are fine.
        ("model.dropout=-1,0,-2", ["model.dropout=-1: must be at least 0", "model.dropout=-2: must be at least 0"]),
    ],
)
def test_a_mistake_is_told_once(word: str, lines: list[str]) -> None:
    def check(overrides: Any) -> None:
        key, _, value = overrides[0].partition("=")
        if key != "model.dropout":
            raise ConfigError(f"{key}={value}: no such key; did you mean model.dropout={value}?")
        if float(value) < 0:
            raise ConfigError(f"{key}={float(value):g}: must be at least 0")

    with pytest.raises(ConfigError) as error:
        check_space(read(word), check)
    assert str(error.value).splitlines() == lines
