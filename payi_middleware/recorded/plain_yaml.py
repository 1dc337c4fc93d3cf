"""YAML as plain values, whatever tags its writer put on them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

__all__ = ["load"]


def load(yaml: ModuleType, text: bytes) -> Any:
    """The first document of a text, read by PyYAML, which the caller has imported.

    Raises:
        yaml.YAMLError, ValueError, RecursionError: It is no YAML.
    """
    return yaml.load(text, _loader(yaml))


def _loader(yaml: ModuleType) -> Any:
    """The safe loader with the tags of recorders in other languages. The C one is eight times as fast, where it was built."""
    safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader: Any = type("_Loader", (safe,), {})
    loader.add_constructor("!binary", safe.construct_yaml_binary)  # Ruby writes `!binary` for YAML's own `!!binary`
    loader.add_multi_constructor("!", _plain)
    for made in ("apply", "new"):
        loader.add_multi_constructor(f"tag:yaml.org,2002:python/object/{made}:", _made)
    loader.add_multi_constructor("tag:yaml.org,2002:python/", _plain)
    return loader


def _plain(loader: Any, _tag: str, node: Any) -> Any:
    """A node without its tag (`!ruby/object:...`, `!!python/unicode`): text, list or mapping, and never an object."""
    if node.id == "mapping":
        return loader.construct_mapping(node, deep=True)
    if node.id == "sequence":
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


def _made(loader: Any, tag: str, node: Any) -> Any:
    """What a Python object is made of: its one argument, as aiohttp's names of headers have it, or all of them."""
    value = _plain(loader, tag, node)
    return value[0] if isinstance(value, list) and len(value) == 1 else value
