"""One grammar, two texts: the explicit and the referential caption of every event of a story.

Both come from the same template (``template``) and differ only where references are: a name may become a pronoun, and a
place that carries over may become "there", "still there" or nothing. Which pronoun may stand where is the rule in
``discourse``. Frame 0 reads the same in both. A character is named or referred to exactly once a caption, besides its
own possessive ("Zara holds her umbrella"), which both texts have: in the explicit text it is a referential mention at
distance 0, in the referential text it has the distance of the name it goes back to.

A possessive mention covers the whole word ("Zara's"), so that replacing the span gives the other text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from storybench.data.toonsv.dice import Dice
from storybench.data.toonsv.discourse import Discourse, Reference
from storybench.data.toonsv.phrases import CASES, PLURALS
from storybench.data.toonsv.planner import SPLITS, StoryPlan
from storybench.data.toonsv.template import OWN, Template, choose_template, parse
from storybench.data.toonsv.world import INDOORS, PRONOUN
from storybench.story import Caption, Mention, MentionForm

_SALT = 0x7E11
_WILLING = 0.85  # how often an allowed reference is made


@dataclass(frozen=True)
class Told:
    """Both captions of a frame."""

    explicit: Caption
    referential: Caption


class _Writer:
    """Writes one caption, piece by piece, and notes its mentions."""

    def __init__(self, frame: int, discourse: Discourse, dice: Dice | None) -> None:
        """Write explicit text when ``dice`` is None, else referential text."""
        self._frame = frame
        self._discourse = discourse
        self._dice = dice
        self._text = ""
        self._mentions: list[Mention] = []
        self.named: set[str] = set()
        self._before: list[str] = []  # characters told earlier in this caption
        self._they: set[str] = set()  # whom they-words stand for in this caption

    def say(self, text: str) -> None:
        """Add plain words."""
        self._text += text

    def mention(self, names: tuple[str, ...], form: MentionForm, subjects: tuple[str, ...] = ()) -> bool:
        """Add names or a reference to them; returns whether a verb after it is plural.

        ``subjects`` are the subjects of the clause when this is its object.
        """
        plural = self._group(names, form, subjects) if len(names) > 1 else self._single(names[0], form, subjects)
        self._before += names
        return plural

    def own(self, name: str) -> None:
        """Add the own possessive of the clause's subject."""
        told = self.named if self._dice is not None else set(self._before)
        distance = 0 if name in told else self._frame - self._discourse.named[name]
        reference = Reference(distance, self._discourse.has_rival(name))
        self._refer((name,), CASES[PRONOUN[name]]["possessive"], "possessive", reference)

    def caption(self) -> Caption:
        """End the sentence."""
        text = self._text[0].upper() + self._text[1:] + "."
        mentions = self._mentions
        if mentions and mentions[0].start == 0:
            first = mentions[0]
            mentions[0] = replace(first, surface=text[first.start : first.end])
        return Caption(text, tuple(mentions))

    def _group(self, names: tuple[str, ...], form: MentionForm, subjects: tuple[str, ...]) -> bool:
        if self._dice is not None and self._dice.chance(_WILLING):
            words = self._plural_words(names, form)
            if words:
                reference = self._discourse.plural(names)
                assert reference is not None
                self._refer(names, words, form, reference)
                self._they |= set(names)
                return True
        for k, name in enumerate(names):
            if k:
                self.say(" and " if k == len(names) - 1 else ", ")
            leads = k == 0 and len(names) == 2 and PRONOUN[name] in ("she", "he")  # "she and Finn", not "it and Finn"
            self._single(name, form, subjects, leads)
            self._before.append(name)
        del self._before[-len(names) :]
        return True

    def _plural_words(self, names: tuple[str, ...], form: MentionForm) -> str | None:
        assert self._dice is not None
        reference = self._discourse.plural(names)
        robin = any(PRONOUN[n] == "they" and n not in names for n in self._before)
        if reference is None or self._they or robin:
            return None
        if reference.bare and (not reference.sized or self._dice.chance(0.6)):
            return CASES["they"][form]
        return self._dice.pick(PLURALS[len(names)])

    def _single(self, name: str, form: MentionForm, subjects: tuple[str, ...], may_refer: bool = True) -> bool:
        pronoun = PRONOUN[name]
        if self._dice is not None and may_refer and self._clear(name, subjects) and self._dice.chance(_WILLING):
            reference = self._discourse.singular(name)
            if reference:
                self._refer((name,), CASES[pronoun][form], form, reference)
                if pronoun == "they":
                    self._they.add(name)
                return pronoun == "they"
        start = len(self._text)
        surface = f"{name}'s" if form == "possessive" else name
        self._text += surface
        self._mentions.append(Mention(self._frame, start, len(self._text), surface, (name,), "explicit", form))
        self.named.add(name)
        return False

    def _clear(self, name: str, subjects: tuple[str, ...]) -> bool:
        """Say whether nothing earlier in this caption takes the pronoun of ``name``."""
        if PRONOUN[name] == "they":
            return not self._they and len(self._before) < 2 and all(n in subjects for n in self._before)
        return not any(PRONOUN[n] == PRONOUN[name] and n not in subjects for n in self._before)

    def _refer(self, names: tuple[str, ...], words: str, form: MentionForm, reference: Reference) -> None:
        start = len(self._text)
        self._text += words
        self._mentions.append(
            Mention(
                self._frame,
                start,
                len(self._text),
                words,
                names,
                "referential",
                form,
                reference.distance,
                reference.ambiguous,
            )
        )


def _write(template: Template, writer: _Writer, implicit: bool) -> Caption:
    same = template.same_place if implicit else None
    place = f" {template.place}" if same is None else same
    writer.say(template.lead)
    if template.place_at == "start":
        writer.say(f"{template.place}, " if same is None else same)
    last = len(template.clauses) - 1
    for k, text in enumerate(template.clauses):
        clause = text.clause
        if k:
            writer.say(template.joiners[k - 1])
        if clause.style == "owner":
            writer.mention(clause.subjects, "possessive")
            writer.say(f" {clause.prop} ")
            plural = False
        else:
            plural = writer.mention(clause.subjects, "subject")
            writer.say(" ")
        for piece in parse(text.phrase.removesuffix(" ^")):
            if isinstance(piece, tuple):
                writer.say(piece[plural])
            elif piece == "@":
                writer.mention(clause.partners, "object", clause.subjects)
            elif piece == "#" and text.determiner == OWN:
                writer.own(clause.subjects[0])
                writer.say(f" {clause.prop}")
            elif piece == "#":
                writer.say(f"{text.determiner} {clause.prop}")
            else:
                writer.say(piece)
        if (template.place_at, k) in (("end", last), ("first", 0)):
            writer.say(place)
    return writer.caption()


def tell_story(plan: StoryPlan) -> tuple[Told, ...]:
    """Write both texts of a planned story."""
    dice = Dice(_SALT, SPLITS.index(plan.split), plan.seed, plan.index, len(plan.events))
    discourse = Discourse()
    told = []
    for event in plan.events:
        template = choose_template(dice, event, discourse)
        explicit = _write(template, _Writer(event.index, discourse, None), False)
        writer = _Writer(event.index, discourse, dice)
        referential = _write(template, writer, True)
        tells_place = template.same_place is None
        discourse.close(event.characters, writer.named, set(event.props.values()), event.setting, tells_place)
        told.append(Told(explicit, referential))
    return tuple(told)


def visible_details(plan: StoryPlan, index: int) -> dict[str, str]:
    """Return the untold facts that frame ``index`` shows, in a fixed order: scarves, props, then weather or wall."""
    event = plan.events[index]
    details = {f"scarf:{name}": plan.scarves[name] for name in event.characters}
    details |= {f"prop:{prop}": plan.prop_colours[prop] for prop in event.props.values()}
    if event.setting in INDOORS:
        details["wall"] = plan.wall
    else:
        details["weather"] = plan.weather
    return details


def dense_caption(plan: StoryPlan, index: int, explicit: str) -> str:
    """Return the explicit caption followed by a short sentence for each visible detail."""
    sentences = [explicit]
    for key, value in visible_details(plan, index).items():
        kind, _, name = key.partition(":")
        if kind == "scarf":
            sentences.append(f"The scarf of {name} is {value}.")
        elif kind == "prop":
            sentences.append(f"The {name} is {value}.")
        else:
            sentences.append(f"The {'wall' if kind == 'wall' else 'sky'} is {value}.")
    return " ".join(sentences)
