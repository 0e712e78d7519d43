"""A gate: which metrics must hold, and by how much each may lose before it matters.

``configs/gate/<name>.yaml`` states one; a file of one's own has the same keys. A margin is in the metric's own unit:
a fraction for a share (0.02 is two points), and always of the worse direction.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storybench.errors import ConfigError, unknown

PACKAGE = "storybench_configs"
GROUP = "gate"
DEFAULT_GATE = "default"


class GatedMetric(BaseModel):
    """One metric of a gate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    margin: float = Field(gt=0, allow_inf_nan=False)
    """The largest loss that does not matter, in the metric's unit."""
    required: bool = True
    """Whether runs without it, or with another protocol of it, are refused; else it is only reported."""


class Gate(BaseModel):
    """A set of metrics with margins, judged together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str = ""
    level: float = Field(default=0.05, gt=0, lt=1)
    """Chance of an alarm by any of the metrics when nothing differs; each gets an equal part of it (Bonferroni)."""
    on_unclear: Literal["pass", "fail"] = "pass"
    """What it means that there are too few stories to exclude a loss beyond the margin."""
    metrics: dict[str, GatedMetric] = Field(min_length=1)
    seconds_per_frame: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Relative slowdown that fails, 0.2 for 20 %; judged only between runs of one device and platform."""

    def level_each(self, compared: int) -> float:
        """Return the coverage of each metric's interval so that all of ``compared`` hold together."""
        return 1 - self.level / max(compared, 1)


def gate_names() -> list[str]:
    """Return the gates that are shipped, sorted."""
    folder = resources.files(PACKAGE).joinpath(GROUP)
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def load_gate(name: str = DEFAULT_GATE) -> Gate:
    """Return a shipped gate by name, or that of a YAML file.

    Raises:
        ConfigError: If there is none, or it is not a gate.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        try:
            text = path.read_text()
        except OSError as error:
            raise ConfigError(
                f"No gate at '{name}': expected a YAML file, or one of {', '.join(gate_names())}."
            ) from error
        return _gate(path.stem, text, name)
    if name not in (names := gate_names()):
        raise unknown("gate", name, names)
    return _gate(name, resources.files(PACKAGE).joinpath(GROUP, f"{name}.yaml").read_text(), name)


def _gate(name: str, text: str, where: str) -> Gate:
    """Return the gate that ``text`` states."""
    try:
        content: Any = OmegaConf.to_container(OmegaConf.create(text), resolve=False)  # nothing of it is evaluated
    except Exception as error:  # of YAML or OmegaConf, which share no base
        raise ConfigError(f"Gate '{where}' is no YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"Gate '{where}' holds {type(content).__name__}, expected keys: {', '.join(_keys())}.")
    try:
        return Gate.model_validate({"name": name, **content})
    except ValidationError as error:
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")  # a typo also leaves a key missing
        at = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = list(GatedMetric.model_fields) if len(first["loc"]) > 1 else _keys()
            raise unknown("key", str(first["loc"][-1]), known, f"gate '{where}' ({at})") from error
        raise ConfigError(f"Gate '{where}': {at}: {first['msg']}, got {first['input']!r}.") from error


def _keys() -> list[str]:
    """Return the keys a gate may have."""
    return [key for key in Gate.model_fields if key != "name"]
