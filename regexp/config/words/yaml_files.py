"""Configuration files, read as they were meant: a text that looks like a number is a text.

YAML reads `name: 1.10` as a number and `- normalization: off` as a truth value. Which keys hold text, and which whole
numbers, the schema says (see words.value_kinds).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf._utils import get_yaml_loader
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from regexp.config.words.homes import expand_home
from regexp.config.words.hydra_words import write_count
from regexp.config.words.value_kinds import ValueKind, find_value_kind
from regexp.errors import ConfigError
from regexp.utils.atomic_io import read_text

_TAG = "tag:yaml.org,2002:"


class TypedFileSource(FileConfigSource):
    """Hydra's source of configuration files, with values that have the types of their keys."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Return the configuration in a file, as Hydra's own source does.

        Args:
            config_path: the path below the source's directory; .yaml may be left out.
        """
        file = Path(os.path.realpath(os.path.join(self.path, self._normalize_file_name(config_path))))
        if not file.exists():
            raise ConfigLoadError(f"Config not found : {file}")
        content = read_text(file)
        header = self._get_header_dict(content)
        group = os.path.dirname(config_path).replace(os.sep, ".")
        package = header.get("package") or group
        prefix = package.replace("_group_", group).replace("_global_", "").strip(".")
        config = read_yaml(file, content, prefix)
        return ConfigResult(self.provider, path=f"{self.scheme()}://{self.path}", config=config, header=header)


@contextmanager
def typed_files() -> Iterator[None]:
    """Let Hydra read configuration files through TypedFileSource during a `with` statement.

    Loaders that are made meanwhile go on with it. Another Hydra program in this process has keys of its own.
    """
    Plugins.instance()  # registers Hydra's own sources, which it does only once
    types, scheme = SourcesRegistry.instance().types, FileConfigSource.scheme()
    previous_type = types[scheme]
    types[scheme] = TypedFileSource
    try:
        yield
    finally:
        types[scheme] = previous_type


def read_yaml(file: Path, content: str, prefix: str) -> DictConfig | ListConfig:
    """Return the configuration in the text of a file, as OmegaConf.load does.

    Args:
        file: the path of the file, for messages.
        content: its text.
        prefix: the dotted key under which its keys are; "" for the top.

    Raises:
        YAMLError: the text is no YAML.
        OSError: it is neither a mapping nor a list.
        ConfigError: a path begins with a home that does not exist.
    """
    # What ~ stands for may change.
    container = _parse_yaml.__wrapped__(file, content, prefix) if "~" in content else _parse_yaml(file, content, prefix)
    if isinstance(container, str):
        return OmegaConf.create({container: None})
    if not isinstance(container, dict | list):
        raise OSError(f"Cannot load a configuration from a value of type {type(container).__name__}")
    return OmegaConf.create(container)


@lru_cache(maxsize=1024)  # each composition reads some 20 files, and parsing them would take a fifth of its time
def _parse_yaml(file: Path, content: str, prefix: str) -> Any:
    """Return the value in the text of a file; see `read_yaml`. It must not be changed."""
    loader = get_yaml_loader()(content)
    loader.name = str(file)
    try:
        node = loader.get_single_node()
        if node is None:
            return {}
        try:
            _convert_node(node, prefix, visited=set())
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}") from error
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _convert_node(node: Node, key: str, visited: set[int]) -> None:
    """Give the scalars of a node the types of their keys.

    Args:
        node: the node, whose content is changed.
        key: the dotted key of the node.
        visited: the nodes that have been converted; a node may contain itself.
    """
    if id(node) in visited:
        return
    visited.add(id(node))
    if isinstance(node, MappingNode):
        for i, (name_node, value_node) in enumerate(node.value):
            name = f"{key}.{name_node.value}".strip(".")
            if name_node.value == "defaults" and isinstance(value_node, SequenceNode):
                _convert_defaults(value_node)
            else:
                node.value[i] = (name_node, _convert_scalar(value_node, name))
                _convert_node(value_node, name, visited)
    elif isinstance(node, SequenceNode):
        for i, entry in enumerate(node.value):
            node.value[i] = _convert_scalar(entry, key)
            _convert_node(entry, key, visited)


def _convert_scalar(node: Node, key: str) -> Node:
    """Return the value of a key, or an entry of its list, with the type of the key."""
    kind = find_value_kind(key)
    if kind is None or not isinstance(node, ScalarNode) or node.tag == f"{_TAG}null":
        return node
    if kind.is_text:
        return _make_scalar(node, "str", _expand_path(node.value, key, kind))
    count = write_count(node.value) if kind.content == "count" and node.tag == f"{_TAG}float" else node.value
    return node if count == node.value else _make_scalar(node, "int", count)


def _expand_path(text: str, key: str, kind: ValueKind) -> str:
    """Return a text with its home, if it is a path of Hydra's own; others are expanded where they are used."""
    if kind.content != "path":
        return text
    try:
        expanded_text = os.fspath(expand_home(text))
    except ConfigError as error:
        raise ConfigError(f"{key}={error}") from error
    return text if kind.is_swept else expanded_text


def _convert_defaults(node: SequenceNode) -> None:
    """Make the options of a defaults list texts, whatever they look like."""
    for entry in node.value:
        if not isinstance(entry, MappingNode):
            continue
        for i, (group, option) in enumerate(entry.value):
            if isinstance(option, SequenceNode):
                option.value = [_make_option(item) for item in option.value]
            entry.value[i] = (group, _make_option(option))


def _make_option(node: Node) -> Node:
    is_option = isinstance(node, ScalarNode) and node.tag != f"{_TAG}null"
    return _make_scalar(node, "str", node.value) if is_option else node


def _make_scalar(node: Node, tag: str, text: str) -> ScalarNode:
    """Return a new node, since a node that has an anchor may be the value of another key too."""
    return ScalarNode(f"{_TAG}{tag}", text, node.start_mark, node.end_mark)
