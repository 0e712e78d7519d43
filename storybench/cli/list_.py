"""``storybench list``: what can be named, and what is missing for it. Loads nothing heavy."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib import metadata, resources
from typing import Any

from omegaconf import OmegaConf

from storybench.cli.config import CONFIG_PACKAGE, ENTRY_POINTS, FORMATS, choices
from storybench.cli.table import console, print_json
from storybench.cli.train import stages
from storybench.errors import ConfigError, unknown

KINDS = ("models", "datasets", "splits", "metrics", "stages", "benchmarks", "gates")


def main(arguments: Sequence[str]) -> int:
    """Print all kinds, or those named: ``storybench list models format=json``."""
    if "--help" in arguments:
        print(f"usage: storybench list [{'|'.join(KINDS)}] [format=json]")
        return 0
    as_json, kinds = False, []
    for word in arguments:
        key, _, value = word.partition("=")
        if key == "format" and value not in FORMATS:
            raise unknown("format", value, FORMATS)
        if "=" in word and key != "format":
            raise unknown("key", key, ["format"])
        if "=" in word:
            as_json = value == "json"
        elif word in KINDS:
            kinds.append(word)
        elif word.startswith("-"):
            raise ConfigError(f"Unknown flag {word!r}. Expected: storybench list [{'|'.join(KINDS)}] [format=json]")
        else:
            raise unknown("kind", word, KINDS)
    found = inventory(kinds or KINDS)
    if as_json:
        print_json(found)
    else:
        _print(found)
    return 0


def inventory(kinds: Sequence[str] = KINDS) -> dict[str, list[dict[str, Any]]]:
    """Return, for each kind, its members with ``name``, ``about`` and ``missing`` (None: ready)."""
    makers = {"models": _models, "datasets": _datasets, "splits": _splits, "metrics": _metrics, "stages": _stages}
    makers |= {"benchmarks": _benchmarks, "gates": _gates}
    return {kind: makers[kind]() for kind in kinds}


def _node(group: str, name: str) -> tuple[str, dict[str, Any]]:
    """Return the head comment and the content of one configuration file."""
    text = resources.files(CONFIG_PACKAGE).joinpath(group, f"{name}.yaml").read_text()
    comments = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#") and "@package" not in line]
    content = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    return (comments[0] if comments else ""), content if isinstance(content, dict) else {}  # type: ignore[return-value]


def _models() -> list[dict[str, Any]]:
    """Return built-in models, then third parties'."""
    points = {p.name: p.value for p in metadata.entry_points(group=ENTRY_POINTS)}
    rows = []
    for name in choices("model"):
        built_in = resources.files(CONFIG_PACKAGE).joinpath("model", f"{name}.yaml").is_file()
        if built_in:
            about, node = _node("model", name)
            rows.append({"name": name, "about": about, "missing": _missing(node)})
        else:
            target = points[name].replace(":", ".")
            rows.append(
                {"name": name, "about": f"entry point {points[name]}", "missing": _missing({"_target_": target})}
            )
    return rows


def _datasets() -> list[dict[str, Any]]:
    """Return data sets with their subsets and texts."""
    rows = []
    for name in choices("dataset"):
        _, node = _node("dataset", name)
        about = f"subset={'|'.join(node['subsets'])} text={'|'.join(node['texts'])}"
        rows.append({"name": name, "about": about, "missing": _missing(node)})
    return rows


def _splits() -> list[dict[str, Any]]:
    """Return the choices of ``split=``."""
    return [{"name": name, "about": _node("split", name)[0], "missing": None} for name in choices("split")]


def _benchmarks() -> list[dict[str, Any]]:
    """Return the frozen versions that rows of the board are about."""
    nodes = {name: _node("benchmark", name)[1] for name in choices("benchmark")}
    return [
        {"name": name, "about": f"{node['title']}: {node['about']}", "missing": None} for name, node in nodes.items()
    ]


def _gates() -> list[dict[str, Any]]:
    """Return the choices of ``storybench compare ... gate=``."""
    return [{"name": name, "about": _node("gate", name)[1]["about"], "missing": None} for name in choices("gate")]


def _metrics() -> list[dict[str, Any]]:
    """Return the metrics and whether the networks they look through are there."""
    _, node = _node("metrics", "all")
    found = {network: _network(network) for network in {entry["network"] for entry in node.values()}}
    return [{"name": name, "about": row["about"], "missing": found[row["network"]]} for name, row in node.items()]


def _network(name: str) -> str | None:
    """Return what is missing of a network that metrics look through, or None."""
    from storybench.perception.catalogue import all_assets, status

    if name not in {asset.id for asset in all_assets()}:
        return "no classifier of this kind for ToonSV; train one for FlintstonesSV: storybench train model=classifier"
    here = status(name)
    if here.state == "present":
        return None
    return f"{name}{' is corrupt' if here.state == 'corrupt' else ''}; storybench doctor says how to get it"


def _stages() -> list[dict[str, Any]]:
    """Return what ``storybench train`` can train."""
    rows = []
    for model, names in stages().items():
        for name in names:
            about, node = _node(f"train/{model}", name)
            rows.append({"name": f"model={model} stage={name}", "about": about, "missing": _missing(node)})
    return rows


def _missing(node: dict[str, Any]) -> str | None:
    """Return what a configuration's target lacks, or None; nothing of it is imported but its package."""
    target = str(node.get("_target_", "???"))
    if target == "???":
        return None
    module = target.rpartition(".")[0]
    try:
        found = importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        found = False
    return None if found else f"module {module} is not installed"


def _print(found: dict[str, list[dict[str, Any]]]) -> None:
    """Print the inventory for people."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    for kind, rows in found.items():
        table = Table(box=SIMPLE_HEAD, show_header=True, title_justify="left")
        table.add_column(kind, no_wrap=True, min_width=24)
        table.add_column("", overflow="fold")
        for row in rows:
            mark = f"  [red]missing: {row['missing']}[/red]" if row["missing"] else ""
            table.add_row(row["name"], row["about"] + mark)
        if not rows:
            table.add_row("none", "")
        console().print(table)
