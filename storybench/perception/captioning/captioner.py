"""The network that puts a ToonSV frame into words: the perceiver's eyes, and a small transformer that speaks.

The convolutions are those of the shipped perceiver and stay frozen; only the decoder is learned. It sees the frame as
81 tokens: 64 cells of an 8 x 8 grid, and what lies under the heat map of each character and each prop, with the place
of its centre. Characters are told left to right, which only positions can say. In training the picture is now and then
withheld, so that the same network also knows how likely a caption is without any (:meth:`CaptionDecoder.blind`).

Legend of shapes: B frames, M = 81 tokens of memory, L words, W width, H heads, V words of the vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from storybench.perception.captioning.words import END, PAD, START
from storybench.perception.perceiver import Perceiver

GRID = 8  # cells a side
PLACE = 4  # evidence, peak, and the centre of a heat map: appended to what lies under it
MAX_WORDS = 32  # start and end included; the grammar's longest caption has room

KeyValue = tuple[Tensor, Tensor]  # each (B, H, L, W / H)


class Seen(NamedTuple):
    """What the frozen eyes make of a batch of frames."""

    grid: Tensor  # (B, 64, C) cells, row by row
    objects: Tensor  # (B, K + P, D + 4) characters, then props

    def at(self, index: Tensor) -> Seen:
        """Return some frames of the batch, in float32."""
        return Seen(self.grid[index].float(), self.objects[index].float())


@torch.no_grad()
def look(eyes: Perceiver, pixels: Tensor) -> Seen:
    """Return what ``eyes`` see in ``pixels`` (B, 3, 128, 128), RGB in [0, 1]."""
    fine = eyes.stem((pixels * 4.0 - 2.0).contiguous(memory_format=torch.channels_last))  # (B, w8, 16, 16)
    deep = eyes.deep(fine)  # (B, w16, 8, 8)
    grid = eyes.merge(F.relu(fine + F.interpolate(eyes.lateral(deep), scale_factor=2.0)))  # (B, w8, 16, 16)
    heat = torch.cat([eyes.heat(grid), eyes.prop_heat(grid)], dim=1)  # (B, K + P, 16, 16)
    cells = torch.cat([F.avg_pool2d(grid, 2), deep], dim=1)  # (B, w8 + w16, 8, 8)
    return Seen(cells.flatten(2).transpose(1, 2), _under(heat, grid))


def _under(heat: Tensor, grid: Tensor) -> Tensor:
    """Return the features under each heat map with its evidence, its peak and its centre, (B, N, D + 4)."""
    flat = heat.flatten(2)  # (B, N, 256)
    share = flat.softmax(2)
    axis = torch.linspace(-1, 1, heat.shape[-1], device=heat.device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    centre = share @ torch.stack([x.flatten(), y.flatten()], dim=1)  # (B, N, 2)
    evidence = torch.stack([flat.sigmoid().sum(2), flat.amax(2)], dim=2)
    return torch.cat([share @ grid.flatten(2).transpose(1, 2), evidence, centre], dim=2)


class _Attention(nn.Module):
    """Multi-head attention whose keys and values may be kept."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def keys(self, source: Tensor) -> KeyValue:
        """Return keys and values of ``source`` (B, L, W)."""
        key, value = self.key_value(source).chunk(2, dim=-1)
        return self._split(key), self._split(value)

    def forward(self, x: Tensor, keys: KeyValue, causal: bool = False) -> Tensor:
        mixed = F.scaled_dot_product_attention(self._split(self.query(x)), *keys, is_causal=causal)  # (B, H, L, W / H)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class _Layer(nn.Module):
    """Words attend to the words before them, then to the picture."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.past = _Attention(width, heads)
        self.picture = _Attention(width, heads)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, picture: KeyValue, past: KeyValue | None = None) -> tuple[Tensor, KeyValue]:
        """Return new states of ``x`` (B, L, W) and all keys so far; with ``past``, ``x`` is the next word alone."""
        before = self.norms[0](x)
        keys = self.past.keys(before)
        if past is not None:
            keys = torch.cat([past[0], keys[0]], dim=2), torch.cat([past[1], keys[1]], dim=2)
        x = x + self.dropout(self.past(before, keys, causal=past is None and x.shape[1] > 1))
        x = x + self.dropout(self.picture(self.norms[1](x), picture))
        return x + self.dropout(self.feed_forward(self.norms[2](x))), keys


class CaptionDecoder(nn.Module):
    """Says what was seen, a word at a time."""

    def __init__(
        self,
        vocabulary: int,
        cell_width: int,
        object_width: int,
        objects: int,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        """Build the decoder with new weights.

        Args:
            vocabulary: Words, special ones included.
            cell_width: Features of a grid cell.
            object_width: Features of a character or prop, the four of its place included.
            objects: Characters and props.
            width: W.
            layers: Of the transformer.
            heads: Of attention.
            dropout: In training, on every residual branch.
        """
        super().__init__()
        self.word = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.randn(MAX_WORDS, width) * 0.02)
        self.cell = nn.Linear(cell_width, width)
        self.thing = nn.Linear(object_width, width)
        self.cell_place = nn.Parameter(torch.randn(GRID * GRID, width) * 0.02)
        self.thing_kind = nn.Parameter(torch.randn(objects, width) * 0.02)
        self.nothing = nn.Parameter(torch.randn(width) * 0.02)
        self.memory_norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(_Layer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        nn.init.normal_(self.word.weight, std=0.05)

    def remember(self, seen: Seen) -> Tensor:
        """Return the tokens that words attend to, (B, M, W)."""
        cells = self.cell(seen.grid) + self.cell_place
        things = self.thing(seen.objects) + self.thing_kind
        return self.memory_norm(torch.cat([cells, things], dim=1))

    def blind(self, batch: int) -> Tensor:
        """Return the memory of no picture, (B, 1, W)."""
        return self.memory_norm(self.nothing).expand(batch, 1, -1)

    def picture_keys(self, memory: Tensor) -> list[KeyValue]:
        """Return what each layer attends to of ``memory``; computed once, used for every word and caption."""
        return [cast(_Layer, layer).picture.keys(memory) for layer in self.layers]

    def forward(self, words: Tensor, pictures: list[KeyValue]) -> Tensor:
        """Return logits (B, L, V) of the word after each of ``words`` (B, L), which begin with START."""
        x = self.word(words) + self.position[: words.shape[1]]
        for layer, picture in zip(self.layers, pictures, strict=True):
            x, _ = layer(x, picture)
        return self._logits(x)

    def _logits(self, x: Tensor) -> Tensor:
        return F.linear(self.norm(x), self.word.weight, self.bias)

    @torch.inference_mode()
    def log_likelihood(self, words: Tensor, pictures: list[KeyValue]) -> Tensor:
        """Return the log-probability of each caption of ``words`` (B, L), START to END and PAD, as (B,) float64."""
        logits = self(words[:, :-1], pictures).double()
        chosen = logits.log_softmax(2).gather(2, words[:, 1:, None]).squeeze(2)  # (B, L - 1)
        return (chosen * (words[:, 1:] != PAD)).sum(1)

    @torch.inference_mode()
    def greedy(self, memory: Tensor) -> Tensor:
        """Return the likeliest next words until all captions have ended, (B, <= MAX_WORDS) without START.

        What follows an END means nothing. A caption does not depend on how long the others take.
        """
        pictures = self.picture_keys(memory)
        past: list[KeyValue | None] = [None] * len(self.layers)
        word = torch.full((len(memory), 1), START, device=memory.device)
        ended = torch.zeros(len(memory), dtype=torch.bool, device=memory.device)
        told = []
        for t in range(MAX_WORDS - 1):
            x = self.word(word) + self.position[t]
            for k, layer in enumerate(self.layers):
                x, past[k] = layer(x, pictures[k], past[k])
            logits = self._logits(x[:, -1])
            logits[:, [PAD, START]] = -torch.inf
            word = logits.argmax(1, keepdim=True)  # (B, 1)
            told.append(word)
            ended |= word[:, 0] == END
            if bool(ended.all()):
                break
        return torch.cat(told, dim=1)
