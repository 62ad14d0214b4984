"""The typed schema of data, and the registry of data sources."""

from dataclasses import dataclass, replace
from typing import Any

from regexp.config.fields import per_run, shared
from regexp.utils.counts import normalize_size


@dataclass(frozen=True)
class DataSource:
    """A registered data set: the functions that find and read it, and the properties known before it is read.

    Attributes:
        find: the path, for utils.lazy, of a function of (name, root, path) that returns data.sources.SourceFiles, and
            may download the files first. It imports no torch. Where the schema has TableOptions, they follow.
        read: the path of a function of data.sources.Source that returns data.splits.Splits.
        training_images: the number of training images, validation images included; None where only the files tell.
        side: height and width of the images; None where only the files tell.
        channels: the number of channels of images of that side.
        is_table: whether it has rows of features instead of images.
        num_features: the number of features; None where only the file tells.
        shows_characters: whether a mirrored image shows something else.
        reads_root: whether it is looked for in data.root.
        cached: whether the decoded data set is kept in the cache, because decoding takes longer than reading the cache.
    """

    find: str
    read: str
    training_images: int | None = None
    side: int | None = None
    channels: int = 1
    is_table: bool = False
    num_features: int | None = None
    shows_characters: bool = False
    reads_root: bool = True
    cached: bool = True

    @property
    def unit(self) -> str:
        """The word for what has a label: "image", or "row" in a table."""
        return "row" if self.is_table else "image"

    @property
    def num_inputs(self) -> int | None:
        """The number of values of an image or row; None where only the files tell."""
        return self.num_features if self.side is None else self.channels * self.side**2


@dataclass(frozen=True)
class TableOptions:
    """The options for reading a table.

    Attributes:
        label: the column of the labels; None if the user has named none.
        drop: the columns to leave out.
        categorical: the columns of numbers to take for categories.
        missing: "error", or "fill" to accept missing values.
    """

    label: str | None
    drop: tuple[str, ...]
    categorical: tuple[str, ...]
    missing: str


_MNIST = DataSource(
    "data.downloads.idx_download.find_or_download",
    "data.downloads.idx.read_idx",
    training_images=60_000,
    side=28,
    shows_characters=True,
)
_PACKAGED_TABLE = DataSource(
    "data.tables.packaged.find_packaged_table",
    "data.tables.packaged.read_packaged_table",
    is_table=True,
    reads_root=False,
    cached=False,
)
_CIFAR = DataSource(
    "data.downloads.cifar.find_cifar",
    "data.downloads.cifar.read_cifar",
    training_images=50_000,
    side=32,
    channels=3,
)
# The registry of data sets: a new one is its entry and the functions that it names.
DATA_SOURCES = {
    "digits": DataSource(
        "data.digits.find_digits",
        "data.digits.read_digits",
        training_images=1437,
        side=8,
        shows_characters=True,
        reads_root=False,
        cached=False,
    ),
    "mnist": _MNIST,
    "fashion_mnist": replace(_MNIST, shows_characters=False),
    "kmnist": _MNIST,
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
    "svhn": DataSource(
        "data.downloads.svhn.find_svhn",
        "data.downloads.svhn.read_svhn",
        training_images=73_257,
        side=32,
        channels=3,
        shows_characters=True,
    ),
    "image_folder": DataSource("data.image_folder.find_pictures", "data.image_folder.read_image_folder"),
    "arrays": DataSource("data.npz.find_npz", "data.npz.read_npz", reads_root=False),
    "table": DataSource(
        "data.tables.table_source.find_table", "data.tables.table_source.read_table", is_table=True, reads_root=False
    ),
    "breast_cancer": replace(_PACKAGED_TABLE, training_images=455, num_features=30),
    "wine": replace(_PACKAGED_TABLE, training_images=142, num_features=13),
}


@dataclass
class DataConfig:
    """The data set and its splits."""

    name: str = shared("digits", "name of the data set", choices=tuple(DATA_SOURCES))
    root: str | None = shared(
        None,
        "directory that holds the data set; null: $REGEXP_DATA_ROOT, or else the user's cache directory",
        identity=False,
        is_path=True,
    )
    val_size: int | float = shared(
        0.2,
        "number of training images to hold out for validation, if the data set has no validation split; or a fraction "
        "of them, up to 1.0",
        above=0,
        whole_from=1,
    )
    train_size: int | float | None = shared(
        None,
        "number of training images to use; or a fraction of those that validation leaves, up to 1.0; null: all",
        above=0,
        whole_from=1,
        example=1000,
    )
    split_seed: int = shared(
        0, "seed that decides which images are held out for validation; independent of the run's seed"
    )
    validation: str = shared(
        "holdout",
        "holdout: hold validation images out of the training set; test: validate on the test set, as in the lesson",
        choices=("holdout", "test"),
    )
    label_noise: float = per_run(
        0.0, "fraction of the training labels to replace at random by another class", at_least=0, at_most=1, example=0.2
    )

    def __post_init__(self) -> None:
        """Make equal sizes equal values."""
        for name in ("val_size", "train_size"):
            size = getattr(self, name)
            if isinstance(size, int | float):
                setattr(self, name, normalize_size(size))


def _scale(defaults: str) -> Any:
    return shared(None, f"number that is white in the images, where 0 is black; null: {defaults}", above=0, example=16)


def _path() -> Any:
    help = "file that holds the data: .npz for arrays, CSV or Parquet for a table"
    return shared(None, help, identity=False, is_path=True)


@dataclass
class ImageFolderConfig(DataConfig):
    """The user's own pictures, with one folder per class directly in the root or in its train/, val/ and test/."""

    name: str = shared("image_folder", "name of the data set")
    image_size: int | None = shared(
        None,
        "side in pixels to which pictures are cropped and resized; null: none are, and all must have one size",
        at_least=1,
        at_most=4096,
    )
    grayscale: bool | None = shared(
        None, "convert pictures to one channel (true) or three (false); null: all must have the same number already"
    )
    scale: float | None = _scale("255, or 65535 for pictures of 16 bits")


@dataclass
class ArraysConfig(DataConfig):
    """The user's own arrays in a .npz file."""

    name: str = shared("arrays", "name of the data set")
    path: str | None = _path()
    scale: float | None = _scale("1 for floating point and bool, 65535 for uint16, else 255")


@dataclass
class TableConfig(DataConfig):
    """The user's own table in a CSV or Parquet file."""

    name: str = shared("table", "name of the data set")
    path: str | None = _path()
    label: str | None = shared(None, "column that holds the classes", example="species")
    drop: list[str] = shared([], "columns to leave out, such as names and numbers of rows")
    categorical: list[str] = shared([], "columns of numbers to take for categories")
    missing: str = shared(
        "error",
        "error: refuse missing values; fill: the mean of the training rows in the place of a number, and a category of "
        "its own for missing texts",
        choices=("error", "fill"),
    )

    def table_options(self) -> TableOptions:
        """Return the options for reading the table."""
        return TableOptions(self.label, tuple(self.drop), tuple(self.categorical), self.missing)


# The schemas of data sets that have keys of their own.
DATA_SCHEMAS: dict[str, type[Any]] = {
    "image_folder": ImageFolderConfig,
    "arrays": ArraysConfig,
    "table": TableConfig,
}
