"""Which text a training frame is told with: the mixture of stage 1."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from storybench.data.toonsv.sampling import TrainingFrame


@dataclass(frozen=True)
class TextMixture:
    """Shares of the conditioning texts; what is left of 1 is the explicit caption.

    ``unconditional`` and ``text_only`` are the paper's 10 % and 10 %. ``referential`` makes the stage-1 baseline fair:
    it has met pronouns. ``detailed`` adds sentences about the picture, each kept with probability ``keep_detail``, so
    that an aligned LLM can ask for what it remembers.
    """

    unconditional: float = 0.10
    text_only: float = 0.10
    referential: float = 0.15
    detailed: float = 0.30
    keep_detail: float = 0.6


def split_details(frame: TrainingFrame) -> list[str]:
    """Return the detail sentences of a frame's dense caption."""
    return [s.strip() + "." for s in frame.dense[len(frame.explicit) :].split(".") if s.strip()]


def choose_text(frame: TrainingFrame, mixture: TextMixture, generator: torch.Generator) -> tuple[str, bool]:
    """Return (caption, whether its names carry pictures) for one frame."""
    kind, fuse, *_ = torch.rand(2, generator=generator).tolist()
    fused = fuse >= mixture.text_only
    for share, text in (
        (mixture.unconditional, ""),
        (mixture.referential, frame.referential),
        (mixture.detailed, None),
    ):
        if kind < share:
            return _with_details(frame, mixture, generator) if text is None else text, fused
        kind -= share
    return frame.explicit, fused


def _with_details(frame: TrainingFrame, mixture: TextMixture, generator: torch.Generator) -> str:
    details = split_details(frame)
    kept = torch.rand(len(details), generator=generator) < mixture.keep_detail
    return " ".join([frame.explicit, *(d for d, keep in zip(details, kept.tolist(), strict=True) if keep)])
