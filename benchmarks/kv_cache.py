"""LLM time of a 50-frame story: keys and values kept across frames, beside the published procedure.

The peer does for every frame what the published inference does (storygptv.md section 5): the whole prompt is read twice
in full, first to learn that the next token is [IMG0], which it is forced to be, then with the R [IMG] tokens appended;
nothing is cached, all hidden states are kept and the output layer runs on all positions. It skips frame 0, which the
published code draws without the language model; ours reads it too. Both get the same prompts, attention and threads,
and take turns frame by frame, so that a busy machine slows both. Pictures and the mapper are left out.

OPT-125M's shape with random weights, fp32, CPU. Prints one JSON object; exits with status 1 if ours is not 8 times as
fast or a state of an [IMG] token differs by more than 1e-5 of their scale (their root mean square, near 1 after the
last layer norm). Run: ``python benchmarks/kv_cache.py``.
"""

import argparse
import json
import sys
import time

import torch
from transformers import OPTConfig, OPTForCausalLM

from storybench.data.toonsv.dataset import ToonSV
from storybench.data.toonsv.lexicon import vocabulary
from storygptv.aligner.heads import AlignerHeads
from storygptv.aligner.model import AlignedLLM
from storygptv.aligner.prompt import Placed, Slot
from storygptv.tokenizer import build_tokenizer

TIMES_FASTER, TOLERANCE = 8.0, 1e-5
FEATURES, IMG_TOKENS, POSITIONS = 1024, 8, 2048
PROMPT = {"image_open": " Image: <img>", "image_close": "</img>", "max_length": POSITIONS}  # the published text


def opt_125m(attention: str) -> AlignedLLM:
    """Return OPT-125M's shape with random weights and published heads, but for a mapper of no weight to speak of."""
    torch.manual_seed(0)
    config = OPTConfig(dropout=0.0, attn_implementation=attention)  # the defaults are OPT-125M's
    assert (config.hidden_size, config.num_hidden_layers, config.max_position_embeddings) == (768, 12, POSITIONS)
    llm = OPTForCausalLM(config)
    heads = AlignerHeads(
        config.hidden_size, FEATURES, 4, IMG_TOKENS, 8, 1, mapper_hidden=8, mapper_heads=1, mapper_layers=1,
        mapper_feedforward=8, prompt=PROMPT,
    )  # fmt: skip
    heads.start(llm.get_input_embeddings().weight)
    words = [*vocabulary(), "Image", "Caption", "<", ">", "/", "img"]
    return AlignedLLM(llm, build_tokenizer(words, POSITIONS), heads).eval()


class Cached:
    """Ours: one state that grows by a block a frame."""

    def __init__(self, model: AlignedLLM) -> None:
        self.model, self.state = model, model.start(1)
        model.mapper.register_forward_pre_hook(self._see)

    def _see(self, _: object, arguments: tuple) -> None:
        self.seen = arguments[0][0]  # (R, e)

    def draw(self, captions: list[str], features: torch.Tensor, frame: int) -> torch.Tensor:
        _, self.state = self.model.step(self.state, captions[frame : frame + 1])
        return self.seen

    def observe(self, captions: list[str], features: torch.Tensor, frame: int) -> None:
        self.state = self.model.observe(self.state, features[:, frame], captions[frame : frame + 1])


class Published:
    """The peer: two forwards over the whole prompt a frame."""

    def __init__(self, model: AlignedLLM) -> None:
        self.model = model

    def draw(self, captions: list[str], features: torch.Tensor, frame: int) -> torch.Tensor:
        model = self.model
        history = [Placed(model.prompts.history(i, captions[i])) for i in range(frame)]
        row = [Placed(model.prompts.start), *history, Placed(model.prompts.target(frame, captions[frame]))]
        batch = model.prompts.batch([row])
        embeds = model.llm.get_input_embeddings()(torch.where(batch.slots == Slot.TEXT, batch.ids, 0))  # (1, L, e)
        pictured = batch.slots[0] == Slot.VISUAL
        if frame:
            embeds[0, pictured] = model.heads.visual_tokens(features[:, :frame]).flatten(0, 2)
        prompt = embeds[:, :-IMG_TOKENS]
        logits = self._forward(prompt).logits[:, -1]
        forced = torch.full_like(logits, float("-inf"))
        forced[:, 0] = 0.0  # the published code masks all words but [IMG0]
        assert int((logits.clamp(-1, 1) + forced).argmax()) == 0
        whole = torch.cat([prompt, model.img.rows[None]], dim=1)
        return self._forward(whole).hidden_states[-1][0, -IMG_TOKENS:]  # (R, e)

    def _forward(self, embeds: torch.Tensor):
        return self.model.llm(inputs_embeds=embeds, use_cache=False, output_hidden_states=True)


@torch.inference_mode()
def measure(frames: int, attention: str) -> dict:
    """Return times, speed-up and differences for a story of so many frames."""
    model = opt_125m(attention)
    story = ToonSV("test", frames=frames, size=1)[0]
    captions = list(story.prompt("referential").captions)
    features = torch.randn(1, frames, FEATURES, generator=torch.Generator().manual_seed(0))
    cached, published = Cached(model), Published(model)
    ours = theirs = worst = square = 0.0
    published.draw(captions, features, min(1, frames - 1))  # warm both code paths up
    for frame in range(frames):
        began = time.perf_counter()
        states = cached.draw(captions, features, frame).clone()
        drew = time.perf_counter()
        if frame:
            expected = published.draw(captions, features, frame)
            theirs += time.perf_counter() - drew
            worst = max(worst, float((states - expected).abs().max()))
            square += float(expected.square().mean()) / (frames - 1)
        ours += drew - began
        began = time.perf_counter()
        cached.observe(captions, features, frame)
        ours += time.perf_counter() - began
    length = int(cached.state.count) - len(cached.state.history[0][-1]) + len(model.prompts.target(0, captions[-1]))
    scale = square**0.5
    return {
        "frames": frames,
        "attention": attention,
        "threads": torch.get_num_threads(),
        "longest_prompt": length,
        "positions": POSITIONS,
        "ours_s": round(ours, 2),
        "published_s": round(theirs, 2),
        "times_faster": round(theirs / ours, 1),
        "max_difference": worst,
        "scale_of_states": round(scale, 3),
        "holds": theirs >= TIMES_FASTER * ours and worst <= TOLERANCE * scale and length <= POSITIONS,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=50, choices=(5, 10, 20, 40, 50))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--attention", default="sdpa", choices=("sdpa", "eager"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    result = measure(options.frames, options.attention)
    print(json.dumps(result, indent=2))
    return 0 if result["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
