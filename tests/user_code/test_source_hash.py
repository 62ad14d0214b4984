"""The hash of the user's own code: it changes with all that the code computes with, and with nothing else."""

import linecache
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from regexp.errors import ConfigError
from regexp.user_code.loading import name_python_object
from regexp.user_code.python_objects import find_unknown_sources, get_python_object
from regexp.user_code.source_hash import hash_user_code

SOURCES = {
    "net.py": "from blocks import First as Block\nimport package.layers\n\nclass Net:\n    size = 3\n",
    "blocks.py": "class First: pass\nclass Second: pass\n",
    "package/__init__.py": "",
    "package/layers.py": "from . import inner\n",
    "package/inner.py": "SIZE = 1\n",
    "unrelated.py": "SIZE = 1\n",
}


@pytest.fixture(autouse=True)
def _files() -> None:
    for name, source in SOURCES.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(source)


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "unrelated.py"])
def test_it_changes_with_each_file_that_is_imported(name: str) -> None:
    before = hash_user_code(["net.py:Net"])
    with Path(name).open("a") as file:
        file.write("CHANGED = True\n")
    assert hash_user_code(["net.py:Net"]) != before


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("size = 3", "size = 4", True),
        ("import First as Block", "import Second as Block", True),
        ("size = 3", "size: int = 3", True),
        ("size = 3", "size = 3  # a comment", False),
        ("size = 3", "size   =   3", False),
        ("class Net", "\n\nclass Net", False),
    ],
)
def test_it_changes_with_what_the_code_says_not_with_its_layout(old: str, new: str, changes: bool) -> None:
    before = hash_user_code(["net.py:Net"])
    Path("net.py").write_text(SOURCES["net.py"].replace(old, new))
    assert (hash_user_code(["net.py:Net"]) != before) == changes


def test_files_that_are_not_imported_do_not_count_and_the_target_does() -> None:
    before = hash_user_code(["net.py:Net"])
    Path("unrelated.py").write_text("SIZE = 2\n")
    assert hash_user_code(["net.py:Net"]) == before
    assert hash_user_code(["net.py:Block"]) != before
    assert hash_user_code([]) == ""


def test_an_installed_target_is_known_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_user_code(["torch.nn:Linear"])
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99")
    assert hash_user_code(["torch.nn:Linear"]) != before


def run_cell(source: str, number: int = 0) -> dict[str, Any]:
    """Run source as a notebook does, in a module without a file, and return its variables."""
    filename = f"<cell {number} {abs(hash(source))}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    variables: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, filename, "exec"), variables)
    return variables


def hash_object(value: Callable[..., Any]) -> str:
    return hash_user_code([name_python_object(value)])


CELL = """
WIDTH = 3

def helper(x):
    return x * WIDTH

class Block:
    def forward(self, x):
        return helper(x)

class Net(Block):
    size = 5
    sizes = [1, 2]

    def forward(self, x):
        return super().forward(x)
"""


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("WIDTH = 3", "WIDTH = 4", True),
        ("x * WIDTH", "x + WIDTH", True),
        ("return helper(x)", "return helper(2 * x)", True),
        ("size = 5", "size = 6", True),
        ("sizes = [1, 2]", "sizes = [1, 3]", True),
        ("super().forward(x)", "super().forward(-x)", True),
        ("WIDTH = 3", "WIDTH = 3\nOTHER = 1", False),
    ],
)
def test_a_class_of_a_notebook_is_known_by_all_that_it_refers_to(old: str, new: str, changes: bool) -> None:
    before = hash_object(run_cell(CELL)["Net"])
    assert hash_object(run_cell(CELL)["Net"]) == before
    assert (hash_object(run_cell(CELL.replace(old, new))["Net"]) != before) == changes


def test_what_a_function_encloses_counts() -> None:
    def make(width: int) -> Callable[[], int]:
        return lambda: width

    assert hash_object(make(1)) == hash_object(make(1))
    assert hash_object(make(1)) != hash_object(make(2))
    assert hash_object(partial(make, 1)) != hash_object(partial(make, 2))
    assert hash_object(partial(make, width=1)) != hash_object(partial(make, width=2))


def test_code_without_source_is_never_the_same_and_that_is_said() -> None:
    variables: dict[str, Any] = {"__name__": "__main__"}
    exec("def make(): return 1", variables)
    text = name_python_object(variables["make"])
    assert "never taken for one that has finished" in find_unknown_sources(text)[0]
    before = hash_user_code([text])
    assert hash_user_code([name_python_object(variables["make"])]) != before

    data = object()

    def use() -> object:
        return data

    assert "data" in find_unknown_sources(name_python_object(use))[0]


def test_an_object_of_a_file_is_its_ordinary_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path.cwd()))
    import net  # type: ignore[import-not-found]

    assert name_python_object(net.Net) == "net.py:Net"
    import package.inner  # type: ignore[import-not-found]

    Path("package/inner.py").write_text("class Net: pass\n")
    package.inner.Net = type("Net", (), {"__module__": "package.inner"})
    assert name_python_object(net.Block) == "blocks.py:First"


def test_a_class_is_found_after_another_target_has_removed_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path.cwd()))
    Path("removed.py").write_text("class Net:\n    def forward(self, x):\n        return x\n")
    import removed  # type: ignore[import-not-found]

    monkeypatch.delitem(sys.modules, "removed")
    assert name_python_object(removed.Net) == "removed.py:Net"


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be a class, or a function"):
        name_python_object(3)
    with pytest.raises(ConfigError, match="names an object of another Python program"):
        get_python_object("python:Gone")


def test_the_packages_of_a_module_count_and_what_is_on_the_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("outer/inner").mkdir(parents=True)
    Path("library").mkdir()
    monkeypatch.syspath_prepend(str(Path("library").resolve()))
    files = ["outer/__init__.py", "outer/inner/__init__.py", "library/on_the_path.py"]
    for name in files:
        Path(name).write_text("WIDTH = 1\n")
    Path("outer/inner/net.py").write_text("from . import WIDTH\nimport on_the_path\nclass Net: pass\n")
    Path("outer/file.py").write_text("from . import WIDTH\nclass Net: pass\n")
    for text, names in (("outer.inner.net:Net", files), ("outer/file.py:Net", files[:1])):
        for name in names:
            before = hash_user_code([text])
            with Path(name).open("a") as file:
                file.write("WIDTH = 2\n")
            assert hash_user_code([text]) != before, name


@pytest.mark.parametrize(
    "source",
    [
        "class Net:\n    width = WIDTH\n    def forward(self): pass\n",
        "class Net:\n    widths = [WIDTH, 1]\n    def forward(self): pass\n",
        "class Net:\n    def forward(self): pass\nNet.width = WIDTH\n",
        "from functools import partial\ndef make(a, b): pass\nNet = partial(make, WIDTH, 1)\n",
    ],
)
def test_values_that_a_class_got_from_elsewhere_count(source: str) -> None:
    hashes = []
    for width in (8, 8, 64):
        linecache.cache["<script>"] = (len(source), None, source.splitlines(keepends=True), "<script>")
        variables: dict[str, Any] = {"__name__": "__main__", "WIDTH": width}
        exec(compile(source, "<script>", "exec"), variables)
        hashes.append(hash_object(variables["Net"]))
    assert hashes[0] == hashes[1] != hashes[2]


def test_lambdas_of_one_line_differ() -> None:
    first, second = (lambda x: x + 1), (lambda x: x + 2)  # fmt: skip
    assert hash_object(first) != hash_object(second)


@pytest.mark.slow
def test_what_the_functions_of_other_files_import_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path.cwd()))
    Path("settings.py").write_text("WIDTH = 1\n")
    Path("widths.py").write_text("import settings\ndef find_width(): return settings.WIDTH\n")
    cells = [
        "import widths\nclass Net:\n    def forward(self): return widths.find_width()\n",
        "from widths import find_width\nclass Net:\n    def forward(self): return find_width()\n",
        "class Net:\n    def forward(self):\n        from widths import find_width\n        return find_width()\n",
    ]
    for cell in cells:
        before = hash_object(run_cell(cell)["Net"])
        assert hash_object(run_cell(cell)["Net"]) == before
        with Path("settings.py").open("a") as file:
            file.write("WIDTH = 2\n")
        assert hash_object(run_cell(cell)["Net"]) != before


def test_what_took_the_place_of_a_name_is_not_loaded_by_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path.cwd()))
    Path("nets.py").write_text(
        "from functools import wraps\n"
        "class Net:\n    depth = 8\n    def forward(self): return self.depth\n"
        "def make(width=16): return width\n"
        "def widen(function):\n    @wraps(function)\n    def wide(): return function(100)\n    return wide\n"
        "wide_make = widen(make)\n"
        "Wide = type('Wide', (Net,), {'__qualname__': 'Net', '__module__': 'nets', 'depth': 100})\n"
    )
    import nets  # type: ignore[import-not-found]

    assert name_python_object(nets.Net) == "nets.py:Net"
    assert name_python_object(nets.make) == "nets.py:make"
    assert name_python_object(nets.wide_make).startswith("python:")
    assert name_python_object(nets.Wide).startswith("python:")
    nets.Net.depth = 50
    assert name_python_object(nets.Net).startswith("python:")
    nets.Net.depth = 8
    Path("nets.py").write_text(Path("nets.py").read_text().replace("return self.depth", "return -self.depth"))
    assert name_python_object(nets.Net).startswith("python:")  # what was imported before the edit
