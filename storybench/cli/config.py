"""From ``key=value`` words to typed configurations, through Hydra.

Hydra composes the tree ``storybench_configs``; the result is then merged into a dataclass, because Hydra accepts any
``+key=value``. What Hydra and OmegaConf object to is said again in one sentence.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from importlib import metadata, resources
from typing import Any, TypeVar

from hydra.errors import HydraException, InstantiationException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from storybench.errors import ConfigError, StorybenchError, unknown

CONFIG_PACKAGE = "storybench_configs"
ENTRY_POINTS = "storybench.models"
FORMATS = ("table", "json")
HYDRA_VERSION = "1.3"  # behaviour, not the installed release
T = TypeVar("T")


@dataclass
class RunConfig:
    """``storybench run``. Which fields decide frames is in :mod:`storybench.records.fingerprint`."""

    model: dict[str, Any] = MISSING
    dataset: dict[str, Any] = MISSING
    subset: str = "test"
    text: str = "referential"
    select: str = "all"
    limit: int | None = None
    seed: int = 0
    batch_size: int = 8
    device: str = "auto"
    run_root: str = "runs"
    format: str = "table"
    paired: bool = False
    counterfactual: bool = False
    metrics: dict[str, Any] = field(default_factory=dict)
    rescore: bool = False
    paper: dict[str, Any] | None = None


@dataclass
class EvaluateConfig:
    """``storybench evaluate``."""

    dataset: dict[str, Any] = MISSING
    frames: str = MISSING
    explicit_frames: str | None = None
    name: str = "folder"
    subset: str = "test"
    text: str = "referential"
    select: str = "all"
    limit: int | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    out: str | None = None
    tables: str | None = None
    format: str = "table"


@dataclass
class AuditConfig:
    """``storybench audit``."""

    dataset: dict[str, Any] = MISSING
    subset: str = "test"
    limit: int = 200
    seed: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    out: str = "runs/audit"
    format: str = "table"


@dataclass
class DrawConfig:
    """``storybench draw``."""

    model: dict[str, Any] = MISSING
    dataset: dict[str, Any] = MISSING
    story: str = MISSING
    out: str | None = None
    seed: int = 0
    batch_size: int = 1
    device: str = "auto"
    format: str = "table"


@dataclass
class DataConfig:
    """``storybench data``."""

    dataset: dict[str, Any] = MISSING
    subset: str | None = None
    text: str = "referential"
    select: str = "all"
    limit: int | None = None
    pictures: str = "auto"
    out: str | None = None
    checkpoint: str | None = None
    model_type: str = "vit_h"
    sha256: str | None = None
    mask_rule: str = "single"
    precision: str = "fp32"
    device: str = "auto"
    batch_size: int | None = None
    format: str = "table"


@dataclass
class DemoConfig:
    """``storybench demo``."""

    models: list[str] = field(default_factory=lambda: ["storygptv", "char_ldm"])
    subset: str = "mini"
    text: str = "referential"
    limit: int | None = None
    seed: int = 0
    batch_size: int = 8
    device: str = "auto"
    run_root: str = "runs"
    paired: bool = True
    strips: int = 6
    out: str | None = None
    format: str = "table"


def compose(command: str, words: Sequence[str], schema: type[T]) -> T:
    """Return the typed configuration of ``command``.

    Args:
        command: Name of a primary configuration.
        words: ``key=value`` words, and ``--config-dir DIR`` for a tree of one's own.
        schema: Dataclass of all keys.

    Raises:
        ConfigError: If a word is unknown or a value does not fit.
    """
    return typed(compose_tree(command, words), schema)


def compose_tree(command: str, words: Sequence[str]) -> DictConfig:
    """Return what Hydra composes for ``command``, before any typing."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    words = with_custom_target(search_path_words(words))
    register_entry_points()
    with hydra_errors(command, words):
        GlobalHydra.instance().clear()
        with initialize_config_module(config_module=CONFIG_PACKAGE, version_base=HYDRA_VERSION):
            return hydra_compose(config_name=command, overrides=list(words))


def typed(tree: DictConfig, schema: type[T]) -> T:
    """Return ``tree`` as an instance of the dataclass ``schema``.

    Raises:
        ConfigError: On unknown keys, values of a wrong type, keys without a value, unknown formats.
    """
    known = [f.name for f in fields(schema)]  # type: ignore[arg-type]
    for key in tree:
        if str(key) not in known:
            raise unknown("key", str(key), known)
    try:
        plain = OmegaConf.to_container(tree, resolve=True)
        merged = OmegaConf.merge(OmegaConf.structured(schema), plain)
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise translate(error, "", ()) from error
    _no_missing(plain)
    assert isinstance(config, schema)
    if (chosen := str(getattr(config, "format", "table"))) not in FORMATS:
        raise unknown("format", chosen, FORMATS)
    return config


def _no_missing(plain: object, path: str = "") -> None:
    """Raise if a key that has no default was not given."""
    if isinstance(plain, Mapping):
        for key, value in plain.items():
            _no_missing(value, f"{path}.{key}" if path else str(key))
    elif plain == "???":
        raise ConfigError(f"{path} needs a value: give {path}=...")


def search_path_words(words: Sequence[str]) -> list[str]:
    """Replace ``--config-dir DIR`` (``-cd``) by the override that means it.

    Raises:
        ConfigError: If the folder does not exist, or another flag is given.
    """
    rest, folders = [], []
    queue = iter(words)
    for word in queue:
        if word in ("--config-dir", "-cd"):
            folders.append(next(queue, ""))
        elif word.startswith("--config-dir="):
            folders.append(word.partition("=")[2])
        elif word.startswith("-") and "=" not in word:
            raise ConfigError(f"Unknown flag {word!r}. Expected key=value words or --config-dir DIR.")
        else:
            rest.append(word)
    check_folders(folders)
    if folders:
        rest.append("hydra.searchpath=[" + ",".join(f"file://{os.path.abspath(f)}" for f in folders) + "]")
    return rest


def check_folders(folders: Sequence[str]) -> None:
    """Raise ConfigError if a folder given with ``--config-dir`` is not there."""
    for folder in folders:
        if not os.path.isdir(folder):
            raise ConfigError(f"No configuration folder at '{folder}' (given with --config-dir).")


def with_custom_target(words: Sequence[str]) -> list[str]:
    """Let ``model._target_=pkg.Class`` alone mean a class of one's own, without another model's options."""
    named = any(re.match(r"\+{0,2}model=", word) for word in words)
    targeted = any(re.match(r"\+{0,2}model\._target_=", word) for word in words)
    return ["model=custom", *words] if targeted and not named else list(words)


def register_entry_points() -> None:
    """Make every entry point of group ``storybench.models`` a choice of ``model=``; a built-in name wins.

    Nothing is imported: the value ``package.module:Class`` becomes ``_target_``.
    """
    from hydra.core.config_store import ConfigStore

    for point in metadata.entry_points(group=ENTRY_POINTS):
        node = {"_target_": point.value.replace(":", ".")}
        ConfigStore.instance().store(group="model", name=point.name, node=node, provider=point.value)


def choices(group: str) -> list[str]:
    """Return the built-in choices of a configuration group, and third parties' models."""
    root = resources.files(CONFIG_PACKAGE).joinpath(group)
    names = (
        {p.name.removesuffix(".yaml") for p in root.iterdir() if p.name.endswith(".yaml")} if root.is_dir() else set()
    )
    if group == "model":
        names |= {point.name for point in metadata.entry_points(group=ENTRY_POINTS)}
    return sorted(names)


@contextmanager
def hydra_errors(command: str, words: Sequence[str]) -> Iterator[None]:
    """Say in one sentence what Hydra refuses."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise translate(error, command, words) from error


def translate(error: BaseException, command: str, words: Sequence[str]) -> StorybenchError:
    """Return the error to show for one of Hydra's or OmegaConf's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, StorybenchError):
            return cause
        cause = cause.__cause__
    message = str(error)
    if found := re.search(r"Could not (?:find|load) '(?:.*/)?([^'/]+)/([^'/]+)'", message):
        group, name = found.groups()
        listed = re.findall(r"^\t(\S+)$", message, flags=re.MULTILINE)
        hint = " Subsets are chosen with subset=, as in subset=mini." if group == "split" else ""
        return ConfigError(f"{unknown(group, name, [n for n in listed or choices(group) if n != 'custom'])}{hint}")
    if found := re.search(r"Could not override '([^']+)'", message):
        folder = found[1].rpartition(".")[0]
        siblings = [key for key in _keys(command, words) if key.rpartition(".")[0] == folder]
        return unknown("key", found[1], siblings)
    if found := re.search(r"issing mandatory value: \S+.*?full_key: (\S+)", message, flags=re.DOTALL):
        return ConfigError(f"{found[1]} needs a value: give {found[1]}=...")
    return ConfigError(one_sentence(error))


def _keys(command: str, words: Sequence[str]) -> list[str]:
    """Return all keys of ``command`` with the groups that ``words`` choose."""
    groups = [w for w in words if re.fullmatch(r"(model|dataset|split|experiment|metrics)=[\w.-]+", w)]
    try:
        tree = compose_tree(command, groups)
    except StorybenchError:
        return []
    found = []
    plain: dict[str, Any] = OmegaConf.to_container(tree, resolve=False)  # type: ignore[assignment]
    for key, value in plain.items():
        found.append(key)
        if isinstance(value, dict):
            found += [f"{key}.{inner}" for inner in value]
    return [*found, *({"split"} if command in ("run", "evaluate", "data") else ())]


def one_sentence(error: BaseException) -> str:
    """Return the message of a library's error on one line, without pointers into its internals."""
    lines = [line.strip() for line in str(error).splitlines()]
    kept = [
        line
        for line in lines
        if line and not line.startswith(("object_type=", "reference_type=", "See http", "Set the env"))
    ]
    text = " ".join(re.sub(r"^full_key:\s*(.*)$", r"(key \1)", line) for line in kept)
    return text if text.endswith((".", ")")) else text + "."


def build(node: Mapping[str, Any], what: str) -> Any:
    """Return the object that ``node['_target_']`` makes with the other keys as arguments.

    Raises:
        ConfigError: If the target is missing, cannot be imported, or does not take the arguments.
        StorybenchError: Whatever error of this family the target raises.
    """
    from hydra.utils import instantiate

    target = node.get("_target_")
    if not target:
        raise ConfigError(f"{what} has no _target_: give {what}._target_=package.Class")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # a class in the folder one works in, as with python -m
    try:
        return instantiate(dict(node))
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, StorybenchError):
            raise cause from None
        if found := re.search(r"unexpected keyword argument '(\w+)'", str(cause)):
            raise unknown("key", found[1], _parameters(str(target)), of=str(target)) from None
        if cause is None or isinstance(cause, (ImportError, TypeError)) or "Error locating target" in str(error):
            detail = re.sub(r"\s*set env var HYDRA_FULL_ERROR=1.*?(?=\n|$)", "", str(error))
            reason = cause if cause is not None else detail
            raise ConfigError(f"Cannot build {what} from {target!r}: {one_sentence(Exception(str(reason)))}") from error
        raise cause from error


def _parameters(target: str) -> list[str]:
    """Return the arguments that a target takes by name."""
    import inspect

    from hydra.utils import get_object

    return [name for name in inspect.signature(get_object(target)).parameters if name not in ("args", "kwargs")]
