"""Classes and functions that Python code passes instead of a target's text, and what their source consists of."""

import inspect
import secrets
import sysconfig
import textwrap
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from regexp.errors import ConfigError
from regexp.user_code.targets import PYTHON_PREFIX, find_target

# Values that a source may refer to and that text stands for.
_PLAIN_TYPES = (int, float, complex, str, bytes, bool, type(None))

_objects: dict[str, Callable[..., Any]] = {}  # by their text
_descriptions: dict[str, "SourceDescription"] = {}


@dataclass
class SourceDescription:
    """The source of an object, and of the objects of the same program that it refers to.

    Attributes:
        parts: the source text of each class and function, and the values of each variable, with its name.
        unknown: what has no source.
    """

    parts: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def name_python_object(target: Any) -> str:
    """Return the text that stands for a class or function that Python code passes: a target for `load_target`.

    An object of a module that other processes can import gets the text of an ordinary target, which is read from its
    file again. Another one (of a script, a notebook or a function) can be used in this process only.

    Raises:
        ConfigError: it is not a class or a function.
    """
    if not callable(target):
        raise ConfigError(f"model={target!r}: must be a class or a function that returns a module")
    name, module = getattr(target, "__qualname__", ""), getattr(target, "__module__", None)
    if module not in (None, "__main__") and isinstance(target, type | types.FunctionType) and "<" not in name:
        file, target_text = _find_source_file(target), f"{module}:{name}"
        with suppress(ConfigError):
            found_file = find_target(target_text).file
            if file is not None and found_file is not None and found_file.resolve() == Path(file).resolve():
                is_script = "." not in module and found_file.resolve().parent == Path.cwd()
                return f"{found_file.name}:{name}" if is_script else target_text
    return register_object(target)


def _find_source_file(target: type | types.FunctionType) -> str | None:
    """Return the file that defines a class or function; None if that is not known.

    Python looks for the file of a class in its module, which loading another target may have removed from sys.modules.
    """
    with suppress(TypeError):
        return inspect.getsourcefile(target)
    functions = _find_functions(target) if isinstance(target, type) else iter((target,))
    return next((function.__code__.co_filename for function in functions), None)


def register_object(target: Callable[..., Any]) -> str:
    """Return a new text that stands for an object in this process: a target for `load_target`."""
    text = f"{PYTHON_PREFIX}{getattr(target, '__qualname__', type(target).__name__)}"
    _objects[text] = target
    _descriptions[text] = description = SourceDescription()
    _describe(target, description)
    if description.unknown:
        description.parts["unknown"] = secrets.token_hex(16)  # so that no finished run is ever taken for it
    return text


def get_python_object(text: str) -> Callable[..., Any]:
    """Return an object by the text that `name_python_object` has returned; raise ConfigError if there is none."""
    if text not in _objects:
        raise ConfigError(f"{text}: names an object of another Python program; pass it again, as model=")
    return _objects[text]


def describe_python_source(text: str) -> SourceDescription:
    """Return the source of an object by the text that `name_python_object` has returned."""
    get_python_object(text)
    return _descriptions[text]


def find_unknown_sources(text: str) -> list[str]:
    """Return a warning if some of the source of an object is not known, in a list that is empty otherwise."""
    unknown = describe_python_source(text).unknown
    if not unknown:
        return []
    names = ", ".join(dict.fromkeys(unknown[:3]))
    return [
        f"{text.removeprefix(PYTHON_PREFIX)} depends on what has no source that can be read ({names}), so a run of it "
        "is never taken for one that has finished, and trains anew"
    ]


def list_code_files(text: str) -> list[str]:
    """Return the files, or what stands for them in a notebook, that hold the code of an object."""
    value = get_python_object(text)
    while isinstance(value, partial):
        value = value.func
    functions = list(_find_functions(value)) if isinstance(value, type) else [value]
    codes = [function.__code__ for function in functions if isinstance(function, types.FunctionType)]
    return list({code.co_filename: None for code in codes})


def _describe(value: Any, description: SourceDescription, name: str = "") -> None:
    """Add the source of a value to a description, and of what it refers to."""
    name = getattr(value, "__qualname__", name) or name
    key = f"{getattr(value, '__module__', '')}.{name}"
    is_code = isinstance(value, types.ModuleType | type | types.FunctionType)
    if key in description.parts or (is_code and _is_installed(value)):
        return
    if isinstance(value, partial):
        for part in (value.func, *value.args, *value.keywords.values()):
            _describe(part, description, f"{name} of partial")
        description.parts[f"{key} keywords"] = repr(list(value.keywords))
    elif isinstance(value, types.BuiltinFunctionType):
        description.parts[key] = "built in"
    elif isinstance(value, types.ModuleType):
        description.parts[key] = _read_source(value, description)
    elif isinstance(value, type | types.FunctionType):
        description.parts[key] = _read_source(value, description)
        functions = [value] if isinstance(value, types.FunctionType) else list(_find_functions(value))
        for base in value.__bases__ if isinstance(value, type) else ():
            _describe(base, description)
        for function in functions:
            for variable, content in _find_references(function):
                _describe(content, description, f"{key}.{variable}")
    elif isinstance(value, types.MethodType):
        _describe(value.__func__, description)
        _describe(value.__self__, description, f"{key}.self")
    elif isinstance(value, _PLAIN_TYPES):
        description.parts[name] = repr(value)
    elif isinstance(value, list | tuple | set | frozenset | dict):
        entries = [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
        for i, entry in enumerate(entries):
            _describe(entry, description, f"{name}[{i}]")
        description.parts[name] = f"{type(value).__name__} of {len(entries)}"
    else:
        description.unknown.append(name or type(value).__name__)


def _read_source(value: Any, description: SourceDescription) -> str:
    """Return the source of a class, function or module; where there is none, note that and return ""."""
    functions = list(_find_functions(value)) if isinstance(value, type) else []
    files = {function.__code__.co_filename for function in functions}
    try:
        # Python takes the classes of a notebook for those of a script that runs it.
        if not files or inspect.getsourcefile(value) in files:
            return textwrap.dedent(inspect.getsource(value))
    except (OSError, TypeError):
        pass
    if isinstance(value, type):  # Python finds no source of a notebook's classes, but that of their methods
        for name, attribute in vars(value).items():
            if not name.startswith("__") and not list(_unwrap_functions(attribute)):
                _describe(attribute, description, f"{value.__qualname__}.{name}")
    try:
        sources = [textwrap.dedent(inspect.getsource(function)) for function in functions]
    except (OSError, TypeError):
        sources = []
    if not sources:
        description.unknown.append(getattr(value, "__qualname__", str(value)))
    return "\n".join(sources)


def _unwrap_functions(attribute: Any) -> Iterator[types.FunctionType]:
    """Yield the functions that an attribute of a class consists of: itself, that of a class method or a property."""
    for function in (attribute, getattr(attribute, "__func__", None), getattr(attribute, "fget", None)):
        if isinstance(function, types.FunctionType):
            yield function


def _find_functions(class_: type) -> Iterator[types.FunctionType]:
    """Yield the functions in the body of a class, those of properties and class methods too."""
    for attribute in vars(class_).values():
        yield from _unwrap_functions(attribute)


def _find_references(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the variables outside a function that it refers to: global ones, those it encloses, and its defaults."""
    names = list(_find_names(function.__code__))
    yield from ((name, function.__globals__[name]) for name in names if name in function.__globals__)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield from (("default", value) for value in function.__defaults__ or ())
    yield from (function.__kwdefaults__ or {}).items()


def _find_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _find_names(constant)


def _is_installed(value: Any) -> bool:
    """Return whether a value belongs to an installed library, Python's own included."""
    module = value if isinstance(value, types.ModuleType) else inspect.getmodule(value)
    if module is None or module.__name__ == "__main__":
        return False
    file = getattr(module, "__file__", None)
    if file is None:
        return True  # built in
    is_ours = module.__name__.partition(".")[0] == "regexp"
    is_library = any(part in ("site-packages", "dist-packages") for part in Path(file).parts)
    return is_ours or is_library or file.startswith(sysconfig.get_path("stdlib"))
