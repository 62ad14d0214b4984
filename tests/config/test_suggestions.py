"""What a message suggests: the field's other words, mistakes that follow a pattern, and nothing far-fetched."""

import shlex

import pytest
from helpers.command_lines import find_problems

from regexp.config.compose import compose_job
from regexp.config.composing.composer import Composer
from regexp.config.keys import find_key
from regexp.config.suggestions.synonyms import OPTION_SYNONYMS, SYNONYMS, normalize_word


@pytest.mark.parametrize("word", SYNONYMS)
def test_a_synonym_is_suggested(composer: Composer, word: str) -> None:
    assert normalize_word(word) == word
    meant = SYNONYMS[word]
    group, _, option = meant.partition("=")
    if group in composer.options.groups:
        assert not option or option in composer.options.groups[group]
    else:
        assert find_key(group) is not None
        if option:
            compose_job([meant])
    problems = find_problems(composer, f"{word}=true", f"{word.upper()}=true", f"train.{word}=true")
    assert len(problems) == 3
    for problem in problems:
        assert f"did you mean {group}=" in problem or f"did you mean {group}?" in problem


@pytest.mark.parametrize("word", OPTION_SYNONYMS)
def test_the_synonym_of_an_option_is_suggested(composer: Composer, word: str) -> None:
    groups = [group for group, options in composer.options.groups.items() if OPTION_SYNONYMS[word] in options]
    assert groups
    for group in groups:
        assert f"did you mean {group}={OPTION_SYNONYMS[word]}?" in find_problems(composer, f"{group}={word}")[0]


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("batch_norm=true", "normalization=batch"),
        ("model.batch_norm=true", "normalization=batch"),
        ("model.batch_norm=false", "normalization=none"),
        ("+model.batch_norm=true", "normalization=batch"),
        ("--batch-norm true", "normalization=batch"),
        ("layernorm=true", "normalization=layer"),
        ("arch=resnet", "model=resnet"),
        ("model=ResNet", "model=resnet"),
        ("normalization=GroupNorm", "normalization=group"),
        ("model.stochastic_depth=0.1", "model.drop_path=0.1"),
        ("wd=0.1", "optimizer.weight_decay=0.1"),
        ("optimizer.learning_rate=0.1", "optimizer.lr=0.1"),
        ("n_epochs=3", "epochs=3"),
        ("bs=3", "batch_size=3"),
        ("lr_scheduler=cosine", "schedule=cosine"),
        ("aug=lesson", "augmentation=lesson"),
        ("gpu=true", "device=cuda"),
        ("optimizer._target_=torch.optim.SGD", "optimizer=sgd"),
        ("optimizer=torch.optim.AdamW", "optimizer=adamw"),
        ("optimizer._target_=torch.optim.Adagrad", "choose one of adam, adamw, rmsprop, sgd"),
        ("'augmentation={_target_: RandomCrop, size: 24}'", "type '+augmentation.crop={size:24}'"),
        (
            "'augmentation={_target_: Pad, padding: 2}'",
            "type '+augmentation.NAME={_target_:torchvision.transforms.Pad,padding:2}'",
        ),
        ("seed=0..4", "type regexp -m 'seed=range(5)'"),
        ("seed=0-4", "type regexp -m 'seed=range(5)'"),
        ("seed=0:5", "type regexp -m 'seed=range(5)'"),
        ("-m seed=2..5", "type regexp -m 'seed=range(2,6)'"),
        ("optimizer.lr=interval(1e-4,1e-1)", "type regexp -m optimizer.lr=0.0001,0.001,0.01,0.1"),
        ("-m optimizer.lr=interval(1e-4,1e-1)", "such as hydra/sweeper=optuna"),
        ("-m model.dropout=interval(0,0.6)", "type regexp -m model.dropout=0,0.2,0.4,0.6"),
        ("-m seed=interval(0,4)", "type regexp -m seed=0,1,3,4"),
    ],
)
def test_what_was_meant_is_suggested(composer: Composer, line: str, suggestion: str) -> None:
    [problem] = find_problems(composer, *shlex.split(line))
    assert suggestion in problem
    command = suggestion.partition("type regexp ")[2]
    if command:  # it works as pasted
        words = [word for word in shlex.split(command) if word != "-m"]
        assert len(composer.compose_command_line(words, True)) > 1


@pytest.mark.parametrize(
    "line",
    [
        *(
            "nonsense=1",
            "foo=3",
            "model.size=3",
            "model.embedding=3",
            "loss.dice=1",
            "num_workers=4",
            "verbose=true",
        ),
        *(
            "optimizer=lion",
            "normalization=instance",
            "data=imagenet",
            "hydra.foo=1",
            "optimizer.rho=0.9",
            "zeta_0=1",
        ),
        *("-m hydra/sweeper=ax", "+optimizer.xyz=1"),
    ],
)
def test_nothing_far_fetched_is_suggested(composer: Composer, line: str) -> None:
    [problem] = find_problems(composer, *shlex.split(line))
    assert "did you mean" not in problem
    assert problem.endswith(("regexp --help lists all keys", "shows them")) or "must be one of" in problem


@pytest.mark.parametrize(
    ("line", "problems"),
    [
        ("-m lrr=1,2,3 seed=0,1", ["lrr=1,2,3: there is no such key; did you mean optimizer.lr=1,2,3?"]),
        ("-m 'sedd=range(3)'", ["sedd=range(3): there is no such key; did you mean seed=range(3)?"]),
        ("-m +optimizer.lrr=1,2", ["optimizer.lrr: there is no such key; did you mean optimizer.lr?"]),
        ("-m optimizer.lr=-1,0", ["optimizer.lr=-1,0: must be above 0; for example optimizer.lr=0.001"]),
        (
            "-m model.dropout=0,2",
            ["model.dropout=2: must be below 1; for example model.dropout=0.2 (1 of 2 runs)"],
        ),
        (
            "-m optimizer=sgd,adam optimizer.momentum=0.1,0.2",
            [
                "optimizer.momentum=0.1,0.2: optimizer=adam has no such key; optimizer=sgd and optimizer=rmsprop have "
                "it (2 of 4 runs)"
            ],
        ),
    ],
)
def test_a_mistake_of_all_values_is_reported_once(composer: Composer, line: str, problems: list[str]) -> None:
    assert find_problems(composer, *shlex.split(line)) == problems
