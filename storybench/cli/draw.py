"""``storybench draw``: a story typed by a person, one sentence a frame, to a strip PNG."""

from __future__ import annotations

import hashlib
import io
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image

from storybench.cli.config import DrawConfig, build, compose_tree
from storybench.cli.flow import model_info, resolve_device
from storybench.cli.table import print_json
from storybench.data.loading import open_dataset
from storybench.errors import ConfigError, did_you_mean
from storybench.frames import write_atomic
from storybench.oracle import is_oracle
from storybench.story import Character, StoryPrompt
from storybench.strips import Span, story_strip

TITLES = ("Mr", "Mrs", "Ms", "Dr", "St")  # their full stop ends no sentence
_PRONOUN = re.compile(
    r"\b(?:she|her|hers|he|him|his|it|its|they|them|their|theirs|both of them|all three of them)\b", re.IGNORECASE
)
USAGE = 'usage: storybench draw "Zara waves. She opens an umbrella." [model=storygptv] [out=strip.png] [seed=0]'


@dataclass(frozen=True)
class Unknown:
    """What a story says that the data set's world does not hold."""

    words: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    nobody: bool = False  # no character is named at all

    def sentences(self, cast: Sequence[Character]) -> list[str]:
        """Return what to tell the person who typed the story."""
        known = [c.name for c in cast]
        said = [f"No character is called {name!r}. {did_you_mean(name, known)}" for name in self.names]
        if self.words:
            said.append(f"Words the model has not learned, which it may ignore: {', '.join(self.words)}.")
        if self.nobody:
            said.append(f"The story names no character. Available: {', '.join(known)}.")
        return said


def main(arguments: Sequence[str]) -> int:
    """Draw a story and say where the strip is."""
    if "--help" in arguments or "-h" in arguments:
        print(USAGE)
        return 0
    typed = [word for word in arguments if not re.match(r"[+~]{0,2}[\w.@/]+=|-", word)]
    words = [word for word in arguments if word not in typed]
    if len(typed) != 1:
        raise ConfigError(f"Expected one story in quotation marks, found {len(typed)}. {USAGE}")
    if any(word.startswith("story=") for word in words):
        raise ConfigError(f"The story is given without story=. {USAGE}")
    tree = compose_tree("draw", words)
    tree.story = ""
    from storybench.cli.config import typed as with_types

    config = with_types(tree, DrawConfig)
    return draw(config, typed[0])


def draw(config: DrawConfig, story: str) -> int:
    """Draw ``story`` and write its strip."""
    captions = sentences(story)
    if not captions:
        raise ConfigError(f"The story has no sentence. {USAGE}")
    cast = open_dataset(config.dataset, config.dataset["subsets"][-1])[0].cast
    unknown = unknown_in(story, cast, config.dataset)
    for line in unknown.sentences(cast):
        print(line, file=sys.stderr)
    node = dict(config.model)
    if node.get("device") == "auto":
        node["device"] = resolve_device("auto")
    model = build(node, "model")
    info = model_info(model)
    if is_oracle(model) or info.name == "folder":
        raise ConfigError(
            f"model={info.name} shows frames that exist and cannot draw a new story: choose another model."
        )
    if hasattr(model, "batch_size"):
        model.batch_size = config.batch_size
    prompt = prompt_of(story, captions, cast)
    frames = dict(model.visualize([prompt], seed=config.seed))[prompt.id]
    out = Path(config.out) if config.out else _free(Path("strip.png"))
    write_atomic(out, strip_png(captions, frames))
    if config.format == "json":
        unknown_json = {"words": unknown.words, "names": unknown.names}
        print_json({"strip": str(out), "model": info.name, "captions": list(captions), "unknown": unknown_json})
    else:
        print(f"{len(frames)} frames by {info.name} in {out}")
    return 0


def prompt_of(story: str, captions: Sequence[str], cast: Sequence[Character]) -> StoryPrompt:
    """Return the prompt of a typed story; noise follows from its text, so the same story is drawn alike anywhere."""
    return StoryPrompt("drawn-" + hashlib.sha256(story.encode()).hexdigest()[:12], tuple(captions), tuple(cast))


def pronouns(caption: str) -> list[Span]:
    """Return where pronouns, and words such as "both of them", stand in a caption."""
    return [Span(m.start(), m.end()) for m in _PRONOUN.finditer(caption)]


def strip_png(captions: Sequence[str], frames: Sequence[Image.Image]) -> bytes:
    """Return the PNG of a strip, pronouns marked."""
    buffer = io.BytesIO()
    story_strip([("", frames)], list(captions), [pronouns(caption) for caption in captions]).save(buffer, format="PNG")
    return buffer.getvalue()


def sentences(story: str) -> tuple[str, ...]:
    """Return the sentences of a story; the full stop of a title ends none, the last may lack its own."""
    shielded = re.sub(rf"\b({'|'.join(TITLES)})\.", "\\1\0", " ".join(story.split()))
    parts = re.split(r"(?<=[.!?])[\"'”’)]*\s+", shielded)
    return tuple(part.replace("\0", ".") for part in (p.strip() for p in parts) if re.search(r"\w", part))


def unknown_in(story: str, cast: Sequence[Character], dataset: dict[str, Any]) -> Unknown:
    """Return what the world of the data set does not know; nothing if the data set cannot tell."""
    find_names, unknown_words = _helper(dataset, "find_names"), _helper(dataset, "unknown_words")
    if find_names is None or unknown_words is None:
        return Unknown()
    words = unknown_words(story)
    # A capital inside a sentence, or before a word such as "waves" at its start, is taken for a name.
    inside = {w for w in words if re.search(rf"(?<![.!?]\s)(?<!^)\b{re.escape(w)}\b", story) and w[:1].isupper()}
    firsts = {s.split()[0].rstrip(",.!?").removesuffix("'s") for s in sentences(story)}
    names = [w for w in words if w in inside or (w in firsts and w[:1].isupper())]
    return Unknown([w for w in words if w not in names], names, nobody=not find_names(story))


def _helper(dataset: dict[str, Any], name: str) -> Callable[[str], list[Any]] | None:
    """Return a text helper that the data set's package offers, or None."""
    package = str(dataset["_target_"]).rsplit(".", 2)[0]
    for module in (package, f"{package}.lexicon"):
        try:
            found = getattr(import_module(module), name, None)
        except ImportError:
            continue
        if found is not None:
            return found
    return None


def _free(path: Path) -> Path:
    """Return ``path``, or the first numbered one beside it that does not exist."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate
