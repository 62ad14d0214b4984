"""Texts that look like numbers, whole numbers that look like fractions, and messages that show what was typed."""

import re
from pathlib import Path
from typing import Any

import pytest
from helpers.command_lines import REQUIRED_OVERRIDES, compose, find_problems

from regexp.config.compose import compose_jobs, make_composer
from regexp.config.composing.composer import Composer
from regexp.config.keys import Key, list_keys, list_step_keys
from regexp.config.schema import Config
from regexp.config.words.value_kinds import find_value_kind
from regexp.errors import ConfigError

ALL_TEXT_KEYS = [key for key in list_keys() if (kind := find_value_kind(key.name)) is not None and kind.is_text]
# What names code of the user's own cannot be any text.
TEXT_KEYS = [key for key in ALL_TEXT_KEYS if not key.metadata.get("is_target", False)]
LIST_KEYS = [key for key in TEXT_KEYS if "a list" in key.type_description]
COUNT_KEYS = [key for key in list_keys() if (kind := find_value_kind(key.name)) and kind.content == "count"]
STEP_COUNT_KEYS = [key for key in list_step_keys() if key.type_description == "a whole number"]
NUMBER_KEYS = [key for key in (*list_keys(), *list_step_keys()) if "number" in key.type_description]
# Texts that Hydra or YAML read as a number, a truth value or a date; all are names of an experiment.
NUMBERLIKE = ["1.10", "7e45123", "1_000", "007", "true", "off", "inf", "NaN", "0x10", "2024-01-01", "12.", "1e2"]


def words_for(key: Key) -> list[str]:
    """Return the overrides that a key needs beside its own."""
    group = key.name.partition(".")[0]
    return [f"{group}={key.options[0]}", *REQUIRED_OVERRIDES.get(key.options[0], [])] if key.options else []


def read_value(config: Config, name: str) -> Any:
    """Return the value of a dotted key."""
    value: Any = config
    for part in name.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


def write_text(key: Key, text: str) -> str:
    """Return a text as a value of a key, which may be a list."""
    return f"[{text}]" if "a list" in key.type_description else text


# Texts -----------------------------------------------------------------------------------------------------------


def test_the_keys_that_hold_text_are_found() -> None:
    assert {key.name for key in ALL_TEXT_KEYS} == {
        *("name", "tags", "data.root", "data.path", "data.label", "data.drop", "data.categorical", "model.target"),
        "loss.target",
    }


@pytest.mark.parametrize("key", TEXT_KEYS, ids=lambda key: key.name)
def test_what_is_typed_for_a_text_is_that_text(composer: Composer, key: Key) -> None:
    pattern = key.metadata.get("pattern", ".*")
    texts = [text for text in NUMBERLIKE if re.fullmatch(pattern, text)]
    expected = [[text] if "a list" in key.type_description else text for text in texts]
    words = [f"{key.name}={write_text(key, text)}" for text in texts]
    others = words_for(key)
    assert [read_value(compose(composer, *others, word)[0].config, key.name) for word in words] == expected
    assert [read_value(job.config, key.name) for job in compose_jobs([[*others, word] for word in words])] == expected
    sweep = f"{key.name}={','.join(write_text(key, text) for text in texts)}"
    assert [read_value(job.config, key.name) for job in compose(composer, "-m", *others, sweep)] == expected
    choice = f"{key.name}=choice({sweep.partition('=')[2]})"
    assert [read_value(job.config, key.name) for job in compose(composer, "-m", *others, choice)] == expected


@pytest.mark.parametrize(
    "key", [key for key in TEXT_KEYS if "a list" in key.type_description], ids=lambda key: key.name
)
def test_an_empty_list_of_texts_is_one(composer: Composer, key: Key) -> None:
    assert read_value(compose(composer, *words_for(key), f"{key.name}=[]")[0].config, key.name) == []
    jobs = compose(composer, "-m", *words_for(key), f"{key.name}=[a],[ ],[b, c]")
    assert [read_value(job.config, key.name) for job in jobs] == [["a"], [], ["b", "c"]]


def test_what_is_written_for_a_text_or_an_option_is_that_text(tmp_path: Path) -> None:
    for folder in ("augmentation", "experiment"):
        (tmp_path / folder).mkdir()
    for text in NUMBERLIKE:
        (tmp_path / "augmentation" / f"{text}.yaml").write_text("noise: {std: 0.25}")
        (tmp_path / "experiment" / f"{text}.yaml").write_text(
            f"# @package _global_\ndefaults:\n  - override /augmentation: {text}\n"
            f"name: {text}\ntags: [{text}, {text}]\ndata: {{root: {text}, path: {text}, label: {text}, "
            f"drop: [{text}, {text}], categorical: [{text}, {text}]}}\n"
        )
    composer = make_composer(str(tmp_path))
    jobs = [compose(composer, "data=table", f"experiment={text}")[0] for text in NUMBERLIKE]
    jobs += compose(composer, "-m", "data=table", f"experiment={','.join(NUMBERLIKE[:3])}")
    for text, job in zip([*NUMBERLIKE, *NUMBERLIKE[:3]], jobs, strict=True):
        values = [read_value(job.config, key.name) for key in TEXT_KEYS]
        assert values == [[text] * 2 if "a list" in key.type_description else text for key in TEXT_KEYS]
        assert job.config.augmentation["noise"].std == 0.25
    assert compose(composer, f"augmentation={NUMBERLIKE[0]}")[0].config.augmentation["noise"].std == 0.25


def test_null_interpolations_and_quotes_are_hydras(composer: Composer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "a b")
    for word, text in (
        ("data.root=null", None),
        ("data.root=NULL", None),
        ("data.root=", ""),
        ('data.root="null"', "null"),
        ("data.root='a,b'", "a,b"),
        ("data.root=${oc.env:PLACE}", "a b"),
        ("data.root=Bob's ${oc.env:PLACE}", "Bob's a b"),
        ("data.root=${name}", "default"),
        ("data={name: digits, root: Bob's}", "Bob's"),
    ):
        assert compose(composer, word)[0].config.data.root == text, word


# Whole numbers ---------------------------------------------------------------------------------------------------


COUNTS = ["20", "20.0", "2e1", "+2.0E+1", "0.02e3", "20."]


@pytest.mark.parametrize("key", COUNT_KEYS, ids=lambda key: key.name)
def test_a_whole_number_may_be_typed_with_a_fraction_or_an_exponent(composer: Composer, key: Key) -> None:
    values = [write_text(key, number) for number in COUNTS]
    jobs = [compose(composer, *words_for(key), f"{key.name}={value}")[0] for value in values]
    jobs += compose(composer, "-m", *words_for(key), f"{key.name}={','.join(values)}")
    for job in jobs:
        value = read_value(job.config, key.name)
        assert repr(value) == write_text(key, "20")


def test_a_whole_number_may_be_written_with_a_fraction_or_an_exponent(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    keys = [key for key in COUNT_KEYS if not key.options]
    for i, number in enumerate(COUNTS):
        # A key with dots in its name is a key of its group.
        groups: dict[str, list[str]] = {}
        for key in keys:
            group, dot, rest = key.name.partition(".")
            groups.setdefault(group, []).append(
                f"{rest}: {write_text(key, number)}" if dot else write_text(key, number)
            )
        lines = [
            f"{group}: {{{', '.join(entries)}}}" if ": " in entries[0] else f"{group}: {entries[0]}"
            for group, entries in groups.items()
        ]
        (tmp_path / "experiment" / f"{i}.yaml").write_text("\n".join(["# @package _global_", *lines]))
    composer = make_composer(str(tmp_path))
    for i in range(len(COUNTS)):
        [job] = compose(composer, f"experiment={i}")
        assert [repr(read_value(job.config, key.name)) for key in keys] == [write_text(key, "20") for key in keys]


@pytest.mark.parametrize("key", STEP_COUNT_KEYS, ids=lambda key: key.name)
def test_the_whole_numbers_of_steps_may_be_written_with_a_fraction(composer: Composer, key: Key) -> None:
    [job] = compose(composer, f"+{key.name}=3.0")
    value = read_value(job.config, key.name)
    assert (type(value), value) == (int, 3)


def test_a_fraction_of_one_is_not_a_count_of_one(composer: Composer) -> None:
    assert type(compose(composer, "data.train_size=1.0")[0].config.data.train_size) is float  # type: ignore[attr-defined]
    assert type(compose(composer, "data.train_size=1")[0].config.data.train_size) is int  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", ["1e-1", "1.5", "1e400", "1e999999999", "inf", "nan"])
def test_what_is_no_whole_number_is_shown_as_it_was_typed(composer: Composer, number: str) -> None:
    assert find_problems(composer, f"epochs={number}") == [
        f"epochs={number}: must be a whole number; for example epochs=100"
    ]


# Messages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", NUMBER_KEYS, ids=lambda key: key.name)
def test_a_message_about_a_number_shows_what_was_typed(composer: Composer, key: Key) -> None:
    sign = "+" if key.name.startswith("augmentation.") else ""
    rejected = 0
    forms = (("-1.50e2", []), ("1_0e-1_0", []), ("1.0e99", []), ("-1.50e2", ["-m"]))
    for number, words in forms[NUMBER_KEYS.index(key) % 2 :: 2]:  # half of them for each key
        value = write_text(key, number)
        values = f"{value},{value}" if words else value
        try:
            compose(composer, *words, *words_for(key), f"{sign}{key.name}={values}")
        except ConfigError as error:
            rejected += 1
            for problem in str(error).splitlines():
                assert problem.lstrip("+").startswith(f"{key.name}={value}"), problem
    assert rejected or key.metadata.keys() <= {"default", "mark", "help", "example", "identity"}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["batch_size=1.0e0", "normalization=batch"], "batch_size=1.0e0 with normalization=batch: "),
        (["epochs=5.0", "schedule=cosine", "schedule.warmup_epochs=3e2"], "schedule.warmup_epochs=3e2: must be below"),
        (
            ["-m", "optimizer.lr=1e-3,-1e-4"],
            "optimizer.lr=-1e-4: must be above 0; for example optimizer.lr=0.001 (1 of",
        ),
        (["name=1.10,1.20"], "name=1.10,1.20: several values make a sweep; type regexp -m name=1.10,1.20"),
        (["name=Bob's"], "name=Bob's: must be at most 100 characters"),
        (["model.activation=1.10"], "model.activation=1.10: must be one of relu"),
        (["augmentation=1.10"], "augmentation=1.10: augmentation must be one of"),
        (["tags=1.10"], "tags=1.10: must be a list of strings; did you mean 'tags=[1.10]'?"),
        (
            ["data.rot=Bob's pics"],
            "data.rot=Bob's pics: there is no such key; did you mean 'data.root=Bob'\"'\"'s pics'?",
        ),
    ],
)
def test_messages_show_what_was_typed(composer: Composer, words: list[str], problem: str) -> None:
    [line] = find_problems(composer, *words)
    assert line.startswith(problem)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["data=array", "data.path=x.npz"], "data=array: "),
        (["data=image_folder", "data.root=a", "b"], "data.root=a b: "),
        (["data=image_folder", "data.root=~nobody-here/x"], "data.root=~nobody-here/x: "),
        (["data=arrays", "data.path=~nobody-here/x"], "data.path=~nobody-here/x: "),
        (["data=image_folder", "data.rot=a"], "data.rot=a: "),
        (["optimizer=sdg", "optimizer.momentum=0.9"], "optimizer=sdg: "),
        (["epochs=ten", "schedule=cosine", "schedule.warmup_epochs=300"], "epochs=ten: "),
        (["augmentation=lession", "augmentation.rotate.degrees=3"], "augmentation=lession: "),
        (["normalization=bach", "normalization.eps=1e-3"], "normalization=bach: "),
    ],
)
def test_what_follows_from_a_mistake_is_no_second_mistake(composer: Composer, words: list[str], problem: str) -> None:
    [line] = find_problems(composer, *words)
    assert line.startswith(problem)


def test_mistakes_that_follow_from_no_other_are_all_reported(composer: Composer) -> None:
    words = [
        "data=array",
        "data.val_size=-1",
        "epochs=ten",
        "optimizer.lr=-1",
        "optimizer=sgd",
        "optimizer.betas=[1,2]",
    ]
    assert len(find_problems(composer, *words)) == 5
