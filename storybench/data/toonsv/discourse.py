"""When a pronoun is allowed: the one rule of reference that ToonSV keeps.

For frame t, over the earlier frames of the same story:

*Singular* (she, he, it) may stand for X when (1) in the latest earlier frame that has any character of that pronoun,
X is the only one of that pronoun, and (2) the referential text named X at most ``MAX_DISTANCE`` frames ago.

*They, sized* (both of them, all three of them, the two friends ...) stands for exactly the characters of the latest
earlier frame with that many characters; each was named at most ``MAX_DISTANCE`` frames ago.

*They, bare* stands for exactly the characters of the latest earlier frame with two or more, under the same limit,
unless Robin was alone in a frame since then.

*They, singular* stands for Robin when the frame before shows Robin alone.

Within one caption, a pronoun may not follow another character of its own pronoun, except as the object of a clause
whose subject is that other one ("Mila waves to her": not Mila). They for Robin stands first or as the object of a
clause with one subject; a group's they comes once and not after a Robin outside the group. Of names joined by "and",
only the first of two is a pronoun ("she and Finn"), and never "it".

*Distance* is the number of frames back to the latest frame by which every one of the characters has been named again:
for one character the last frame that names it, for a group the last naming of the member named longest ago.
*Ambiguous* says that the pronoun alone does not decide: another character of the same pronoun was seen earlier, or,
for they, another group (or Robin) was.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from storybench.data.toonsv.world import PRONOUN

MAX_DISTANCE = 4


@dataclass(frozen=True)
class Reference:
    """An allowed reference: how far back, whether the pronoun alone decides, and which plural words are allowed."""

    distance: int
    ambiguous: bool
    bare: bool = True
    sized: bool = False


@dataclass
class Discourse:
    """What a reader of the referential text knows before frame ``len(frames)``."""

    frames: list[frozenset[str]] = field(default_factory=list)
    named: dict[str, int] = field(default_factory=dict)
    seen_props: set[str] = field(default_factory=set)
    setting: str | None = None
    setting_told: int = 0

    def singular(self, name: str) -> Reference | None:
        """Return the reference a singular pronoun would make to ``name`` now, or None if it may not be used."""
        t, pronoun = len(self.frames), PRONOUN[name]
        distance = t - self.named.get(name, -MAX_DISTANCE - 1)
        if distance > MAX_DISTANCE:
            return None
        if pronoun == "they":
            if self.frames[-1] != {name}:
                return None
            return Reference(distance, any(len(f) > 1 for f in self.frames))
        for frame in reversed(self.frames):
            rivals = [n for n in frame if PRONOUN[n] == pronoun]
            if rivals:
                return Reference(distance, self.has_rival(name)) if rivals == [name] else None
        return None

    def has_rival(self, name: str) -> bool:
        """Say whether another character of the same pronoun (for Robin: any group) was seen earlier."""
        if PRONOUN[name] == "they":
            return any(len(f) > 1 for f in self.frames)
        return any(n != name and PRONOUN[n] == PRONOUN[name] for frame in self.frames for n in frame)

    def plural(self, names: tuple[str, ...]) -> Reference | None:
        """Return the reference a plural would make to exactly these characters now, or None."""
        group, t = frozenset(names), len(self.frames)
        if any(t - self.named.get(n, -MAX_DISTANCE - 1) > MAX_DISTANCE for n in names):
            return None
        latest = next((k for k in range(t - 1, -1, -1) if len(self.frames[k]) > 1), None)
        if latest is None:
            return None
        robin_since = any(len(f) == 1 and PRONOUN[next(iter(f))] == "they" for f in self.frames[latest + 1 :])
        bare = self.frames[latest] == group and not robin_since
        sized = next((f for f in reversed(self.frames) if len(f) == len(group)), None) == group
        if not (bare or sized):
            return None
        others = any(len(f) > 1 and f != group for f in self.frames)
        robin = any(PRONOUN[n] == "they" and n not in group for f in self.frames for n in f)
        return Reference(t - min(self.named[n] for n in names), others or robin, bare, sized)

    def close(self, characters: tuple[str, ...], named: set[str], props: set[str], setting: str, told: bool) -> None:
        """Take in a frame that has been told."""
        t = len(self.frames)
        self.frames.append(frozenset(characters))
        self.named.update(dict.fromkeys(named, t))
        self.seen_props |= props
        self.setting = setting
        if told:
            self.setting_told = t
