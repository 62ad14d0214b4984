"""Labels of runs: what varied comes first, the seed is always whole, and what all runs share is cut."""

from pathlib import Path

import pytest

from regexp.comparison.grouping import group_by_configuration
from regexp.config.compose import compose_jobs
from regexp.config.job import Job
from regexp.runs.labels import MAX_LENGTH, MAX_SHARED, make_label, make_labels


def compose(*runs: list[str]) -> list[Job]:
    """Return the jobs of runs, given by their overrides."""
    return compose_jobs(runs)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], "defaults"),
        (["normalization=batch", "seed=1"], "normalization=batch,seed=1"),
        (["seed=1", "normalization=batch"], "normalization=batch,seed=1"),
        (["optimizer.lr=0.01", "model.dropout=0.5"], "lr=0.01,dropout=0.5"),
        (["optimizer.lr=1e5", "model.dropout=.5", "optimizer.eps=1e-5"], "lr=100000,dropout=0.5,eps=1e-05"),
        (
            ["epochs=1e1", "data.train_size=1.0", "early_stopping.patience=null"],
            "epochs=10,train_size=1.0,patience=null",
        ),
        (["model.hidden_sizes=[64,32]"], "hidden_sizes=64-32"),
        (["model.hidden_sizes=[]"], "hidden_sizes=none"),
        (["augmentation=lesson", "augmentation.rotate.degrees=15"], "augmentation=lesson,rotate.degrees=15"),
        (["augmentation=lesson", "~augmentation.flip"], "augmentation=lesson,~flip"),
        (["early_stopping=none", "optimizer=sgd"], "early_stopping=none,optimizer=sgd"),
        (["+augmentation.x={_target_: torchvision.transforms.RandomInvert, p: 0.3}"], "x=RandomInvert-p=0.3"),
        (["+augmentation.x={p: 0.3, _target_: torchvision.transforms.RandomInvert}"], "x=RandomInvert-p=0.3"),
        (["+augmentation.x._target_=torchvision.transforms.RandomInvert"], "x=RandomInvert"),
        (["name=x", "force=true", "tags=[a]", "device=cpu", "device.threads=1"], "defaults"),
        (["device.precision=float64"], "precision=float64"),
        (["seed=1", "seed=2"], "seed=2"),
    ],
)
def test_a_label_names_the_changed_keys_in_the_order_typed(overrides: list[str], expected: str) -> None:
    assert make_label(compose(overrides)[0]) == expected


def test_what_varied_comes_first_and_what_all_share_is_cut() -> None:
    shared = ["data.train_size=500", "epochs=40", "optimizer=adamw", "schedule=cosine", "early_stopping.patience=7"]
    runs = [
        [*shared, f"normalization={norm}", f"seed={seed}", f"optimizer.weight_decay={decay}", "model.dropout=0.5"]
        for norm in ("none", "batch")
        for decay in ("0", "1e-3")
        for seed in (0, 1)
    ]
    labels = make_labels(compose(*runs))
    assert labels[0] == (
        "normalization=none,weight_decay=0,seed=0,train_size=500,epochs=40,optimizer=adamw,schedule=cosine"
    )
    assert labels[-1].startswith("normalization=batch,weight_decay=0.001,seed=1,train_size=500,")
    assert len(set(labels)) == 8
    assert all(len(label) <= MAX_SHARED for label in labels)


def test_a_batch_knows_what_varies_in_its_sweep() -> None:
    """A sweeper may launch one job after the other: its command, or the first of its runs, says what varies."""
    first, second = compose(["epochs=3", "optimizer.lr=0.1", "seed=4"], ["epochs=3", "optimizer.lr=0.2", "seed=4"])
    assert make_labels([first], swept_keys=["optimizer.lr"]) == ["lr=0.1,seed=4,epochs=3"]
    assert make_labels([second], [first]) == ["lr=0.2,seed=4,epochs=3"]
    assert make_labels(compose(["epochs=3", "seed=0"], ["epochs=3", "seed=1"])) == [
        "seed=0,epochs=3",
        "seed=1,epochs=3",
    ]


def test_values_are_spelled_as_in_tables() -> None:
    """The folder and the table have one spelling for every number."""
    from helpers.run_directories import write_run

    from regexp.comparison.loading import collect

    typed = ("1e5", "1e-3", "3", ".25")
    labels = make_labels(compose(*([f"optimizer.lr={value}"] for value in typed)))
    for value in typed:
        write_run(Path("outputs/default"), [f"optimizer.lr={value}"], 0)
    configurations = group_by_configuration(collect([Path("outputs/default")]).records)
    assert sorted(labels) == sorted(f"lr={configuration.values['optimizer.lr']}" for configuration in configurations)


def test_short_forms_give_way_where_they_tell_nothing_apart() -> None:
    def label(*targets: str) -> list[str]:
        return make_labels(compose(*([f"+augmentation.x={{_target_: {target}}}"] for target in targets)))

    assert label("torchvision.transforms.RandomInvert", "torchvision.transforms.RandomSolarize") == [
        "x=RandomInvert",
        "x=RandomSolarize",
    ]
    assert label("torchvision.transforms.RandomInvert", "torchvision.transforms.v2.RandomInvert") == [
        "x=torchvision.transforms.RandomInvert",
        "x=torchvision.transforms.v2.RandomInvert",
    ]


def test_long_values_are_cut_and_told_apart_without_hiding_what_varied() -> None:
    paths = [f"{'名前' * 30}/{end}" for end in ("a.npz", "b.npz")]
    runs = [
        ["data=arrays", f"data.path={path}", f"data.split_seed={seed}", f"seed={seed}"]
        for path in paths
        for seed in (0, 1)
    ]
    assert make_labels(compose(*runs)) == [
        f"path={name},split_seed={seed},seed={seed},data=arrays" for name in ("a.npz", "b.npz") for seed in (0, 1)
    ]
    sizes = [",".join(["64"] * 40 + [str(last)]) for last in (1, 2)]
    labels = make_labels(compose(*([f"model.hidden_sizes=[{size}]", "seed=12345"] for size in sizes)))
    assert labels[0].startswith("hidden_sizes=64-64-64-")
    assert labels[1] == labels[0].replace(",seed", "~2,seed")
    assert all(label.endswith(",seed=12345") for label in labels)


def test_very_many_keys_leave_the_seed_whole() -> None:
    keys = ["model.dropout", "optimizer.lr", "optimizer.eps", "optimizer.l1", "optimizer.clip_norm", "data.label_noise"]
    keys += ["loss.label_smoothing", "optimizer.weight_decay", "early_stopping.min_delta", "model.drop_path"]
    keys += ["augmentation.rotate.degrees", "augmentation.rotate.fill", "schedule.warmup_epochs"]
    runs = [["augmentation=lesson", *(f"{key}=0.12345678901" for key in keys[:-1]), "seed=7"], ["seed=7"]]
    labels = make_labels(compose(*runs))
    assert len(labels[0].encode()) <= MAX_LENGTH
    assert labels[0].endswith(",seed=7")
    assert labels[0].startswith("augmentation=lesson,dropout=0.1")
