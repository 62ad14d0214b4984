"""Classes and functions that Python code passes instead of a target's text, and what their source consists of."""

import inspect
import secrets
import textwrap
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from regexp.errors import ConfigError
from regexp.user_code.sources import find_imports, follow_imports, is_library, normalize_source
from regexp.user_code.targets import PYTHON_PREFIX, find_target

# Values that a source may refer to and that text stands for.
_PLAIN_TYPES = (int, float, complex, str, bytes, bool, type(None))
_CONTAINERS = (list, tuple, set, frozenset, dict)

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


def find_importable_name(target: Any) -> str | None:
    """Return the text of the target that a class or function of a file is, so that other processes can load it.

    It is None for what a script, a notebook or a function defines, and where a decorator or the like took the place of
    what has the name.

    Raises:
        ConfigError: it is not a class or a function.
    """
    if not callable(target) or (hasattr(target, "state_dict") and not isinstance(target, type)):
        raise ConfigError(
            f"model={type(target).__name__}: must be a class, or a function that returns a new module at each call"
        )
    name, module = getattr(target, "__qualname__", ""), getattr(target, "__module__", None)
    if module not in (None, "__main__") and isinstance(target, type | types.FunctionType) and "<" not in name:
        file, target_text = _find_source_file(target), f"{module}:{name}"
        with suppress(ConfigError):
            found_file = find_target(target_text).file
            if file is not None and found_file is not None and found_file.resolve() == Path(file).resolve():
                is_script = "." not in module and found_file.resolve().parent == Path.cwd()
                return f"{found_file.name}:{name}" if is_script else target_text
    return None


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
    """Return an object by the text that `register_object` has returned; raise ConfigError if there is none."""
    if text not in _objects:
        raise ConfigError(f"{text}: names an object of another Python program; pass it again, as model=")
    return _objects[text]


def describe_python_source(text: str) -> SourceDescription:
    """Return the source of an object by the text that `register_object` has returned."""
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
        for i, part in enumerate((value.func, *value.args, *value.keywords.values())):
            _describe(part, description, f"{name}.{i}")
        description.parts[f"{key} keywords"] = repr(list(value.keywords))
    elif isinstance(value, types.BuiltinFunctionType):
        description.parts[key] = "built in"
    elif isinstance(value, types.ModuleType):
        _describe_files(value, "", description)
    elif isinstance(value, type | types.FunctionType):
        source = description.parts[key] = _read_source(value, description)
        _describe_files(inspect.getmodule(value), source, description)
        functions = [value] if isinstance(value, types.FunctionType) else list(_find_functions(value))
        for function in functions:  # the file may have changed since
            description.parts[f"{key}.{function.__name__}, line {_first_line(function)}"] = _describe_code(function)
        for attribute, content in vars(value).items() if isinstance(value, type) else ():
            if not attribute.startswith("__") and isinstance(content, (*_PLAIN_TYPES, *_CONTAINERS)):
                _describe(content, description, f"{key}.{attribute}")
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
    elif isinstance(value, _CONTAINERS):
        entries = [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
        for i, entry in enumerate(entries):
            _describe(entry, description, f"{name}[{i}]")
        description.parts[name] = f"{type(value).__name__} of {len(entries)}"
    else:
        description.unknown.append(name or type(value).__name__)


def _describe_files(module: types.ModuleType | None, source: str, description: SourceDescription) -> None:
    """Add the file of a module, unless it is the program itself, and the files that it or some source imports."""
    file = getattr(module, "__file__", None)
    files = find_imports(source, Path(file) if file else Path.cwd() / "__main__")
    if module is not None and module.__name__ != "__main__" and file is not None:
        files += follow_imports([Path(file).resolve()], [Path(file).resolve().parent])
    for path in files:
        description.parts[f"file {path.name} in {path.parent.name}"] = normalize_source(path.read_bytes())


def _first_line(function: types.FunctionType) -> int:
    """Return the number of a lambda's place: several may have one name. Other functions may move."""
    positions = list(function.__code__.co_positions()) if function.__name__ == "<lambda>" else []
    return next((position[2] or 0 for position in positions if position[2]), 0)


def _describe_code(function: types.FunctionType) -> str:
    """Return what a function computes, without the numbers of its lines."""
    return repr(_list_code(function.__code__))


def _list_code(code: types.CodeType) -> list[Any]:
    constants = [_list_code(value) if isinstance(value, types.CodeType) else repr(value) for value in code.co_consts]
    return [code.co_code.hex(), constants, code.co_names, code.co_varnames, code.co_freevars]


def has_same_code(value: Any, other: Any) -> bool:
    """Return whether two classes, or two functions, compute the same: in code, defaults, attributes and bases."""
    if isinstance(value, types.FunctionType) and isinstance(other, types.FunctionType):
        defaults = (repr(each.__defaults__) + repr(each.__kwdefaults__) for each in (value, other))
        return _describe_code(value) == _describe_code(other) and len(set(defaults)) == 1 and not value.__closure__
    if not (isinstance(value, type) and isinstance(other, type)):
        return False
    ignored_names = ("__module__", "__dict__", "__weakref__", "__doc__", "__annotations__")
    attributes, other_attributes = (
        {name: item for name, item in vars(each).items() if name not in ignored_names} for each in (value, other)
    )
    same_bases = [base.__qualname__ for base in value.__bases__] == [base.__qualname__ for base in other.__bases__]
    if attributes.keys() != other_attributes.keys() or not same_bases:
        return False
    for name, attribute in attributes.items():
        functions, other_functions = (list(_unwrap_functions(each[name])) for each in (attributes, other_attributes))
        if list(map(_describe_code, functions)) != list(map(_describe_code, other_functions)):
            return False
        if isinstance(attribute, (*_PLAIN_TYPES, *_CONTAINERS)) and repr(attribute) != repr(other_attributes[name]):
            return False
    return True


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
    return module.__name__.partition(".")[0] == "regexp" or is_library(Path(file))
