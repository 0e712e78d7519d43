"""Time of the referential rewrite on one core, beside the published string replacement, over the same stories.

With ``--captions FILE`` (PororoQA's descriptions.csv) the stories are PororoSV's; without, captions of about the same
length and number are invented. Prints one JSON object and exits with status 1 if the rewrite takes 10 s or more. Run:
``python benchmarks/rewriting.py``.
"""

import argparse
import csv
import json
import random
import sys
import time
from pathlib import Path

from storybench.coreference.lexicon import load_lexicon
from storybench.coreference.published import rewrite_published
from storybench.coreference.rewriting import Rewriter
from storybench.data.clips import Clip
from storybench.data.facts import load_facts
from storybench.data.windows import story_windows

LIMIT_S = 10.0
EPISODES, FRAMES_AN_EPISODE = 183, 88  # 16,104 frames, 15,372 stories: PororoSV has 16,066 and 15,334
PATTERNS = (
    "{a} is talking to {b}. {a} looks very happy and waves at the others.",
    "{a} and {b} are standing in front of the wooden house. {b} asks {a} what happened.",
    "{a} is walking through the snow. There are trees covered with snow behind {a}.",
    "{a}'s friends are surprised. {b} is looking at them from the window of the house.",
)


def invented() -> dict[str, Clip]:
    """Return clips with captions that are drawn by seed."""
    draw, names = random.Random(0), [c.name for c in load_facts("pororo").cast]
    clips = {}
    for e in range(EPISODES):
        for k in range(1, FRAMES_AN_EPISODE + 1):
            a, b = draw.sample(names, 2)
            clip_id = f"Pororo_INVENTED_ep{e}/{k}"
            clips[clip_id] = Clip(clip_id, f"Pororo_INVENTED_ep{e}", (draw.choice(PATTERNS).format(a=a, b=b),))
    return clips


def published(path: Path) -> dict[str, Clip]:
    """Return PororoSV's clips with their first captions."""
    clips: dict[str, Clip] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for episode, frame, caption in csv.reader(file):
            clips.setdefault(f"{episode}/{frame}", Clip(f"{episode}/{frame}", episode, (caption,)))
    return clips


def main() -> int:
    """Time both and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", type=Path, help="PororoQA's descriptions.csv; invented captions if not given")
    path = parser.parse_args().captions
    clips = invented() if path is None else published(path)
    episodes: dict[str, list[str]] = {}
    for clip in clips.values():
        episodes.setdefault(clip.episode, []).append(clip.id)
    windows = story_windows(episodes, 5)
    rewriter = Rewriter(load_lexicon("pororo"))
    start, changed = time.perf_counter(), 0
    for window in windows:
        captions = [clips[clip_id].captions[0] for clip_id in window]
        told = rewriter.referential(captions)
        changed += sum(t.text != c for t, c in zip(told, captions, strict=True))
    ours = time.perf_counter() - start
    start = time.perf_counter()
    for window in windows:
        rewrite_published("published:make_a_story", "pororo", [clips[clip_id] for clip_id in window])
    peer = time.perf_counter() - start
    result = {
        "captions": "invented" if path is None else path.name,
        "frames": len(clips),
        "stories": len(windows),
        "changed_frames_a_story": round(changed / len(windows), 3),
        "rewrite_s": round(ours, 2),
        "published_make_a_story_s": round(peer, 2),
        "ratio": round(ours / peer, 1),
        "limit_s": LIMIT_S,
    }
    print(json.dumps(result, indent=2))
    return int(ours >= LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
