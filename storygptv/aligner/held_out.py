"""How well an aligner does on stories it was not trained on, without drawing a picture.

N frames, T frames a story, Q length and D width of the conditioning embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from storygptv.aligner.losses import alignment_loss
from storygptv.aligner.model import AlignedLLM, TargetFrames
from storygptv.aligner.pool import PictureModel, Pool
from storygptv.aligner.probing import probe
from storygptv.aligner.stories import PoolStory


class AlignerObjective(nn.Module):
    """The model and an auxiliary read-out of who is in the frame, used in training only."""

    def __init__(self, model: AlignedLLM, names: Sequence[str]) -> None:
        """Read out as many characters as there are ``names``."""
        super().__init__()
        self.model = model
        self.characters = nn.Linear(model.heads.config.out_dim, len(names))

    def read_characters(self, condition: Tensor) -> Tensor:
        """Return logits (N, names) of the characters from embeddings (N, Q, D)."""
        return self.characters(condition.to(self.characters.weight.dtype).mean(1))


def character_sets(stories: Sequence[PoolStory], names: Sequence[str]) -> Tensor:
    """Return who is in each frame as zeros and ones, shape (B, T, names)."""
    return torch.tensor([[[float(n in told) for n in names] for told in s.characters] for s in stories])


@torch.no_grad()
def evaluate(
    objective: AlignerObjective,
    pool: Pool,
    picture_model: PictureModel | None,
    target_frames: TargetFrames = "all",
    chunk: int = 25,
) -> dict[str, float]:
    """Return held-out L_align, exact-set accuracy and F1 of the read-out, and the probes, on referential captions.

    Args:
        objective: The model, in any mode.
        pool: Held-out stories.
        picture_model: For the probes; None leaves them out.
        target_frames: Which frames count.
        chunk: Stories read together.
    """
    was_training = objective.training
    objective.eval()
    first = int(target_frames == "later")
    distances, wanted, found, predicted = [], [], [], []
    for start in range(0, len(pool.stories), chunk):
        part = slice(start, start + chunk)
        stories, targets = pool.stories[part], pool.story_targets(part)[:, first:]
        features = pool.story_features(part).to(objective.model.device)
        told = [s.referential for s in stories]
        condition = objective.model(told, features, target_frames=target_frames).condition  # (N, Q, D)
        distances.append(alignment_loss(condition, targets.flatten(0, 1).to(condition.device)) * len(condition))
        found.append(objective.read_characters(condition) > 0)
        wanted.append(character_sets(stories, pool.names)[:, first:].flatten(0, 1) > 0)
        predicted += condition.unflatten(0, (len(stories), -1)).unbind(0)
    objective.train(was_training)
    truth, guess = torch.cat(wanted), torch.cat(found).cpu()
    hits = (truth & guess).sum()
    scores = {
        "val/align": float(torch.stack(distances).sum()) / len(truth),
        "val/set_acc": float((truth == guess).all(1).float().mean()),
        "val/char_f1": float(2 * hits / (truth.sum() + guess.sum()).clamp(min=1)),
    }
    if picture_model is not None:
        probes = probe(predicted, pool.stories, picture_model.condition, pool.names, first)
        scores |= {f"val/{key}": value for key, value in probes.items()}
    return {key: round(value, 4) for key, value in scores.items()}
