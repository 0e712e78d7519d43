"""Keeping account of every tensor of a published checkpoint: used, known to be dead, or named in one error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from storybench.errors import AssetError

POSITION_IDS = "position_ids"


def plain(key: str) -> str:
    """Return the key itself: the published spelling is ours."""
    return key


@dataclass(frozen=True)
class Part:
    """One of our parts, where its tensors stand in the checkpoint, and how they are spelled there.

    ``spelling`` turns every known spelling of a key, published or ours, into one. It is applied to both sides, because
    the libraries rename their modules too: transformers 5 dropped ``text_model.``, diffusers renamed the attention of
    the autoencoder.
    """

    name: str
    prefix: str
    spelling: Callable[[str], str] = plain


@dataclass
class Accounts:
    """What became of every tensor of one checkpoint."""

    used: dict[str, str] = field(default_factory=dict)  # published key -> "part/our key"
    dead: dict[str, str] = field(default_factory=dict)  # published key -> why it is left out
    missing: dict[str, torch.Size] = field(default_factory=dict)
    unexpected: dict[str, torch.Size] = field(default_factory=dict)
    misshapen: dict[str, tuple[torch.Size, torch.Size]] = field(default_factory=dict)  # as given, as expected

    def check(self, what: str, mend: str) -> None:
        """Raise one error that lists everything that is wrong.

        Args:
            what: The checkpoint, the subject of the sentence.
            mend: What the user can do.

        Raises:
            AssetError: If a key is missing, unexpected or of another shape.
        """
        wrong = []
        if self.missing:
            wrong.append(f"{len(self.missing)} missing: {_listed(self.missing)}")
        if self.unexpected:
            wrong.append(f"{len(self.unexpected)} unexpected: {_listed(self.unexpected)}")
        if self.misshapen:
            pairs = (f"{key} {tuple(a)}, not {tuple(b)}" for key, (a, b) in sorted(self.misshapen.items()))
            wrong.append(f"{len(self.misshapen)} of another shape: {', '.join(pairs)}")
        if wrong:
            raise AssetError(f"{what} does not fit ({'; '.join(wrong)}): {mend}.")


def without_module(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``state`` without the leading ``module.`` that data-parallel training leaves in the keys."""
    return {key.removeprefix("module."): tensor for key, tensor in state.items()}


def shapes(module: nn.Module) -> dict[str, torch.Size]:
    """Return the shape of every tensor that ``module``, on any device, saves."""
    return {key: tensor.shape for key, tensor in module.state_dict().items()}


def take(
    parts: Sequence[Part],
    state: Mapping[str, Tensor],
    wanted: Mapping[str, Mapping[str, torch.Size]],
    accounts: Accounts,
) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of ``parts`` under our keys and book every key of ``state``.

    Args:
        parts: Where to look; a part that ``wanted`` does not name takes nothing.
        state: Published key -> tensor; keys that are booked as dead already are passed over.
        wanted: Part -> our key -> shape.
        accounts: Changed in place.

    Returns:
        Part -> our key -> tensor, only of those that fit.
    """
    found: dict[str, dict[str, Tensor]] = {part.name: {} for part in parts if part.name in wanted}
    places = {
        part.prefix + part.spelling(key): (part.name, key, shape, part.prefix + key)
        for part in parts
        for key, shape in wanted.get(part.name, {}).items()
    }
    for key, tensor in state.items():
        if key in accounts.dead:
            continue
        owner = next((part for part in parts if key.startswith(part.prefix)), None)
        place = owner and owner.prefix + owner.spelling(key.removeprefix(owner.prefix))
        if key.rsplit(".", 1)[-1] == POSITION_IDS:
            accounts.dead[key] = "counts positions; the library computes it"
        elif place not in places:  # unknown, or given a second time under another spelling
            accounts.unexpected[key] = tensor.shape
        else:
            name, ours, shape, _ = places.pop(place)
            if tensor.shape == shape:
                accounts.used[key] = f"{name}/{ours}"
                found[name][ours] = tensor
            else:
                accounts.misshapen[key] = (tensor.shape, shape)
    accounts.missing |= {place: shape for place, (*_, shape, _) in places.items()}
    return found


def _listed(keys: Mapping[str, torch.Size]) -> str:
    return ", ".join(f"{key} {tuple(shape)}" for key, shape in sorted(keys.items()))
