"""Loading of targets. This runs the user's code, so it must only be asked for targets that this very command names."""

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from regexp.errors import ConfigError, RegexpError
from regexp.user_code.failures import describe_failure, find_user_frame, is_backward_failure
from regexp.user_code.python_objects import (
    find_importable_name,
    get_python_object,
    has_same_code,
    list_code_files,
    register_object,
)
from regexp.user_code.sources import list_source_files
from regexp.user_code.targets import PYTHON_PREFIX, Target, find_target
from regexp.utils.messages import did_you_mean


@dataclass(frozen=True)
class _LoadedTarget:
    """A target that this process has loaded.

    Attributes:
        function: the class or function.
        contents: the hash of each of its source files, when it was loaded.
    """

    function: Callable[..., Any]
    contents: Mapping[Path, str]


_loaded_targets: dict[str, _LoadedTarget] = {}  # by their text


def load_target(text: str) -> Callable[..., Any]:
    """Return the class or function that a target names. A source file that has changed since is loaded again.

    Args:
        text: FILE.py:NAME, MODULE:NAME or MODULE.NAME, which this very command names; or the name of an object that
            Python code has passed (see `python_objects`).

    Raises:
        ConfigError: there is no such object, it cannot be called, or loading it fails.
    """
    if text.startswith(PYTHON_PREFIX):
        return get_python_object(text)
    target = find_target(text)
    contents = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in list_source_files(target)}
    loaded_target = _loaded_targets.get(text)
    if loaded_target is None or loaded_target.contents != contents:
        # Files of other targets may have the names of this one's.
        _forget_modules({*contents, *(path for other in _loaded_targets.values() for path in other.contents)})
        function = _import_object(target)
        if not callable(function):
            raise ConfigError(f"{text}: is {type(function).__name__}; must be a class or a function")
        loaded_target = _loaded_targets[text] = _LoadedTarget(function, contents)
    return loaded_target.function


def list_paths(text: str) -> list[str]:
    """Return the source files of a target, and the directory of its package, for `describe_failure`."""
    if text.startswith(PYTHON_PREFIX):
        return list_code_files(text)
    try:
        target = find_target(text)
    except ConfigError:  # it is gone by now
        return []
    paths = [str(path) for path in list_source_files(target)]
    if not target.is_file and target.root is not None:
        paths.append(os.path.join(target.root.resolve(), target.module.partition(".")[0]))
    return paths


@contextmanager
def explain_user_failures(texts: Sequence[str]) -> Iterator[None]:
    """Replace an exception that the user's own code raises in the `with` statement by an error with their line.

    Args:
        texts: the targets that are in use.

    Raises:
        ConfigError: a line of the user's code led to an exception, or a backward pass failed.
    """
    try:
        yield
    except RegexpError:
        raise
    except (Exception, SystemExit) as error:
        for text in texts:
            paths = list_paths(text)
            if find_user_frame(error, paths) is not None:
                raise ConfigError(f"{text}: {describe_failure(error, paths)}") from error
        if texts and is_backward_failure(error):
            names = ", ".join(texts)
            raise ConfigError(f"{names}: the backward pass fails: {describe_failure(error, [])}") from error
        raise


def name_python_object(target: Any) -> str:
    """Return the text that stands for a class or function that Python code passes: a target for `load_target`.

    An object of a module that other processes can import gets the text of an ordinary target, if loading that gives the
    same code. Another one (of a script, a notebook or a function, or changed since) can be used in this process only.

    Raises:
        ConfigError: it is not a class or a function.
    """
    text = find_importable_name(target)
    with suppress(ConfigError):
        if text is not None and has_same_code(target, load_target(text)):
            return text
    return register_object(target)


def call_target(text: str, options: Mapping[str, Any], offered: Mapping[str, Any], key: str) -> Any:
    """Return what a target returns for keyword arguments.

    Args:
        text: the target.
        options: the arguments that the user has set, by name.
        offered: further arguments, each of which is passed only if the target has a parameter of that name.
        key: the key that sets the options, such as "model.options", for messages.

    Raises:
        ConfigError: the target has no such parameter, or lacks an argument, or raises an exception.
    """
    function = load_target(text)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some compiled functions have none
        return function(**options)
    arguments = {**{name: value for name, value in offered.items() if name in signature.parameters}, **options}
    _check_arguments(text, signature, arguments, key)
    return function(**arguments)


def make_function(text: str, options: Mapping[str, Any], inputs: Sequence[str], key: str) -> Callable[..., Any]:
    """Return the function of tensors that a target stands for: an instance of its class, or the function with options.

    Args:
        text: the target.
        options: keyword arguments, of the class once, or of the function at every call.
        inputs: what the function is called with, such as "logits" and "labels", for messages.
        key: the key that sets the options.

    Raises:
        ConfigError: as in `call_target`; or instances of the class cannot be called.
    """
    target = load_target(text)
    if isinstance(target, type):
        instance = call_target(text, options, {}, key)
        if not callable(instance):
            raise ConfigError(f"{text}: its instances cannot be called; define __call__(self, {', '.join(inputs)})")
        return cast("Callable[..., Any]", instance)
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):  # some compiled functions have none
        return partial(target, **options)
    _check_arguments(text, signature, options, key, inputs)
    return partial(target, **options)


def _check_arguments(
    text: str, signature: inspect.Signature, arguments: Mapping[str, Any], key: str, inputs: Sequence[str] = ()
) -> None:
    """Raise ConfigError if a signature does not take `inputs` followed by keyword arguments; see `make_function`."""
    positional_kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = [name for name, parameter in signature.parameters.items() if parameter.kind in positional_kinds]
    input_parameters = positional[: len(inputs)]
    parameters = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and parameter.name not in input_parameters
    ]
    takes_any = any(parameter.kind == parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    problems = []
    for name in arguments:
        if name not in parameters and not takes_any:
            candidates = [f"{key}.{match}" for match in _closest(name, parameters)]
            names = f"; its parameters are {', '.join(parameters)}" if parameters else "; it has no parameters"
            problems.append(f"{key}.{name}: {text} has no such parameter{did_you_mean(candidates) or names}")
    for name, parameter in signature.parameters.items():
        is_required = name in parameters and parameter.default is parameter.empty
        if is_required and name not in arguments:
            problems.append(f"{text}: needs a value for {name}; type {key}.{name}=VALUE")
    if problems:
        raise ConfigError("\n".join(problems))
    try:
        signature.bind(*inputs, **arguments)
    except TypeError as error:
        raise ConfigError(f"{text}: {error}") from error


def _import_object(target: Target) -> Any:
    """Import the module of a target, and return the object that it names there."""
    try:
        with _user_paths(target):
            module = _execute_file(target) if target.is_file else importlib.import_module(target.module)
    except RegexpError:
        raise
    except (Exception, SystemExit) as error:
        paths = [str(path) for path in list_source_files(target)]
        raise ConfigError(f"{target.text}: {describe_failure(error, paths)}") from error
    try:
        return attrgetter(target.name)(module)
    except AttributeError:
        candidates = [f"{target.module}:{match}" for match in _closest(target.name, dir(module))]
        raise ConfigError(f"{target.text}: {target.module} has no {target.name}{did_you_mean(candidates)}") from None


@contextmanager
def _user_paths(target: Target) -> Iterator[None]:
    """Let imports look in the directory of a file, as `python FILE` does, and in the working directory.

    Afterwards they still do, but only for what is found nowhere else: a file of the user's with the name of a module
    that others import later must not take its place.
    """
    directories = [str(target.root.resolve())] if target.is_file and target.root is not None else []
    directories.append(os.getcwd())
    previous_path = list(sys.path)
    sys.path[:0] = directories
    try:
        yield
    finally:
        sys.path[:] = [*previous_path, *(path for path in directories if path not in previous_path)]


def _execute_file(target: Target) -> ModuleType:
    """Execute the file of a target as a new module.

    The name of the module is not that of the file, which may be that of an installed module.
    """
    assert target.file is not None
    name = f"_target_{target.file.stem}"
    spec = importlib.util.spec_from_file_location(name, target.file.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _forget_modules(files: Collection[Path]) -> None:
    """Remove the modules of source files, so that they are imported again: they may have changed since."""
    file_names = tuple(path.name for path in files)  # resolving all paths takes 0.1 s
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if name != "__main__" and file.endswith(file_names) and Path(file).resolve() in files:
            del sys.modules[name]
    importlib.invalidate_caches()


def _closest(word: str, names: list[str]) -> list[str]:
    return difflib.get_close_matches(word, names, n=1, cutoff=0.6)
