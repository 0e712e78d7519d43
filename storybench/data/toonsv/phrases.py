"""The words of ToonSV: how each action, prop and place may be put. Data only; ``grammar`` puts it together.

In a phrase ``{walks|walk}`` is a verb (singular|plural), ``@`` the partner, ``#`` the prop with its determiner.
"""

from __future__ import annotations

ACTION_PHRASES: dict[str, tuple[str, ...]] = {
    "walk": (
        "{walks|walk}",
        "{strolls|stroll}",
        "{wanders|wander}",
        "{walks|walk} about",
        "{goes|go} for a walk",
        "{takes|take} a stroll",
        "{is|are} walking",
    ),
    "run": (
        "{runs|run}",
        "{races|race} along",
        "{dashes|dash} about",
        "{sprints|sprint}",
        "{runs|run} about",
        "{rushes|rush} along",
        "{is|are} running",
    ),
    "jump": (
        "{jumps|jump}",
        "{hops|hop}",
        "{leaps|leap}",
        "{bounces|bounce}",
        "{jumps|jump} up and down",
        "{leaps|leap} into the air",
        "{is|are} jumping",
    ),
    "sit": (
        "{sits|sit}",
        "{sits|sit} down",
        "{takes|take} a seat",
        "{sits|sit} quietly",
        "{sits|sit} and {rests|rest}",
        "{is|are} sitting",
    ),
    "sleep": (
        "{sleeps|sleep}",
        "{naps|nap}",
        "{dozes|doze}",
        "{snoozes|snooze}",
        "{takes|take} a nap",
        "{is|are} fast asleep",
        "{is|are} sleeping",
    ),
    "wave": (
        "{waves|wave}",
        "{waves|wave} hello",
        "{gives|give} a wave",
        "{says|say} hello with a wave",
        "{waves|wave} happily",
        "{is|are} waving",
    ),
    "dance": (
        "{dances|dance}",
        "{twirls|twirl}",
        "{dances|dance} about",
        "{does|do} a little dance",
        "{twirls|twirl} and {spins|spin}",
        "{is|are} dancing",
    ),
    "cheer": (
        "{cheers|cheer}",
        "{cheers|cheer} loudly",
        "{shouts|shout} hooray",
        "{celebrates|celebrate}",
        "{gives|give} a cheer",
        "{is|are} cheering",
    ),
}

# The partner of these does the same; the partner of the other two told actions, wave and cheer, only stands.
SHARED_ACTIONS = ("walk", "run", "jump", "sit", "sleep", "dance")

PARTNER_PHRASES: dict[str, tuple[str, ...]] = {
    "walk": (
        "{walks|walk} with @",
        "{strolls|stroll} with @",
        "{wanders|wander} about with @",
        "{goes|go} for a walk with @",
        "{walks|walk} beside @",
    ),
    "run": (
        "{runs|run} with @",
        "{chases|chase} @",
        "{runs|run} after @",
        "{races|race} against @",
        "{dashes|dash} about with @",
    ),
    "jump": (
        "{jumps|jump} with @",
        "{hops|hop} with @",
        "{leaps|leap} about with @",
        "{bounces|bounce} up and down with @",
        "{jumps|jump} beside @",
    ),
    "sit": (
        "{sits|sit} next to @",
        "{sits|sit} beside @",
        "{sits|sit} with @",
        "{sits|sit} down next to @",
        "{takes|take} a seat beside @",
    ),
    "sleep": (
        "{sleeps|sleep} next to @",
        "{sleeps|sleep} beside @",
        "{naps|nap} next to @",
        "{dozes|doze} beside @",
        "{takes|take} a nap with @",
    ),
    "wave": (
        "{waves|wave} to @",
        "{waves|wave} at @",
        "{waves|wave} hello to @",
        "{greets|greet} @ with a wave",
        "{gives|give} @ a wave",
    ),
    "dance": (
        "{dances|dance} with @",
        "{twirls|twirl} with @",
        "{dances|dance} about with @",
        "{does|do} a little dance with @",
        "{dances|dance} beside @",
    ),
    "cheer": (
        "{cheers|cheer} for @",
        "{cheers|cheer} loudly for @",
        "{shouts|shout} hooray for @",
        "{gives|give} @ a cheer",
        "{claps|clap} and {cheers|cheer} for @",
    ),
}

# Said after ``watches @``; the partner does it.
WATCHED: dict[str, tuple[str, ...]] = {
    "walk": ("walk", "stroll", "wander about"),
    "run": ("run", "dash about", "sprint"),
    "jump": ("jump", "hop", "leap"),
    "sit": ("sit down", "sit"),
    "sleep": ("sleep", "nap", "doze"),
    "wave": ("wave",),
    "dance": ("dance", "twirl", "spin and dance"),
    "cheer": ("cheer", "celebrate"),
}
WATCH_PHRASES = ("{watches|watch} @", "{sees|see} @")

# Said after an action when the actor has a prop with it.
CARRIED = ("with #", "holding #", "carrying #")
CARRIED_ASLEEP = ("with #", "next to #", "beside #")

HOLD_PHRASES: dict[str, tuple[str, ...]] = {
    "umbrella": (
        "{opens|open} #",
        "{holds|hold} #",
        "{carries|carry} #",
        "{puts|put} up #",
        "{stands|stand} under #",
    ),
    "balloon": (
        "{holds|hold} #",
        "{carries|carry} #",
        "{has|have} #",
        "{holds|hold} on to #",
        "{stands|stand} with #",
    ),
    "book": ("{reads|read} #", "{holds|hold} #", "{opens|open} #", "{looks|look} at #", "{carries|carry} #"),
    "ball": ("{holds|hold} #", "{plays|play} with #", "{carries|carry} #", "{has|have} #", "{catches|catch} #"),
    "kite": ("{flies|fly} #", "{holds|hold} #", "{plays|play} with #", "{carries|carry} #", "{has|have} #"),
    "cake": ("{holds|hold} #", "{carries|carry} #", "{tastes|taste} #", "{eats|eat} #", "{has|have} #"),
    "guitar": ("{plays|play} #", "{holds|hold} #", "{strums|strum} #", "{carries|carry} #", "{plays|play} a song on #"),
    "flower": ("{holds|hold} #", "{smells|smell} #", "{carries|carry} #", "{picks|pick} #", "{has|have} #"),
}
SHOW_PHRASES = ("{shows|show} # to @", "{holds|hold} up # for @", "{holds|hold} # out to @")

# Said of the prop itself after its owner: ``Zara's kite flies high``. A phrase that ends in ``^`` takes ``above the``.
OWNER_PHRASES: dict[str, tuple[str, ...]] = {
    "umbrella": ("is wide open", "is open", "opens with a snap"),
    "balloon": ("bobs about", "floats gently", "floats high ^"),
    "book": ("is open", "tells a good story", "is lovely to read"),
    "ball": ("is ready for a game", "is good to bounce", "is fun to play with"),
    "kite": ("flies high ^", "flutters ^", "flies"),
    "cake": ("smells sweet", "looks tasty", "is ready to eat"),
    "guitar": ("sounds lovely", "plays a happy tune", "rings out"),
    "flower": ("smells sweet", "is in full bloom", "looks pretty"),
}

PLACE_PHRASES: dict[str, tuple[str, ...]] = {
    "beach": ("on the beach", "at the seaside", "by the sea", "on the sandy beach"),
    "meadow": ("in the meadow", "in the green meadow", "on the meadow grass"),
    "forest": ("in the forest", "in the woods", "among the trees of the forest", "under the trees"),
    "mountains": ("in the mountains", "up in the mountains", "high in the hills", "among the peaks"),
    "city": ("in the city", "in town", "on the city street", "among the tall buildings"),
    "desert": ("in the desert", "on the dunes", "among the cacti", "in the hot desert"),
    "farm": ("on the farm", "by the barn", "in the farmyard"),
    "playground": ("in the playground", "at the playground", "by the swings", "near the slide"),
    "kitchen": ("in the kitchen", "by the stove", "near the kitchen table"),
    "bedroom": ("in the bedroom", "next to the bed", "near the bedroom window"),
    "classroom": ("in the classroom", "at school", "in front of the blackboard"),
    "library": ("in the library", "among the bookshelves", "by the library shelves"),
}
ABOVE: dict[str, str] = {
    "beach": "above the beach",
    "meadow": "above the meadow",
    "forest": "above the forest",
    "mountains": "above the mountains",
    "city": "above the city",
    "desert": "above the desert",
    "farm": "above the farm",
    "playground": "above the playground",
    "kitchen": "above the kitchen table",
    "bedroom": "above the bed",
    "classroom": "above the classroom floor",
    "library": "above the bookshelves",
}
# What the referential text says of a place that carries over, at the start or at the end of a sentence.
SAME_PLACE_START = ("", "", "", "", "Still there, ", "In the same place, ")
SAME_PLACE_END = ("", "", "", "", " there", " there too")

OPENERS = ("One day, ", "Today, ", "One fine day, ")
LINKS = ("Then ", "Next, ", "Now ", "Soon ", "Later, ", "After that, ")

PLURALS: dict[int, tuple[str, ...]] = {
    2: ("both of them", "the two of them", "the two friends"),
    3: ("all three of them", "the three of them", "the three friends"),
}
CASES: dict[str, dict[str, str]] = {
    "she": {"subject": "she", "object": "her", "possessive": "her"},
    "he": {"subject": "he", "object": "him", "possessive": "his"},
    "it": {"subject": "it", "object": "it", "possessive": "its"},
    "they": {"subject": "they", "object": "them", "possessive": "their"},
}
ARTICLE: dict[str, str] = {"umbrella": "an"}  # every other prop takes "a"

# Plain words that a person may type about this world though the grammar never writes them.
_FREE_TEXT = """
a an the this that these those some any every each another other one two three four five many all both no not never i
you we us our your my me mine hers theirs himself herself itself themselves themself who whom whose which what when
where why how is are was were be been being am do does did done has have had having can could will would shall should
may might must and or but so because if then than as of in on at to from by with without for about into onto over
under above below between beside behind near next along across around through up down out off away back inside outside
after before during while until again also too very quite just only still always often sometimes here there now today
tonight tomorrow yesterday later soon once first last finally suddenly together alone happily quietly loudly slowly
quickly gently softly sadly brightly good bad big small little tiny large tall short long old young new happy sad
tired sleepy angry hungry kind nice lovely pretty bright dark warm hot cold cool wet dry sunny cloudy rainy windy
snowy round soft loud quiet fast slow busy merry jolly red yellow green blue white black pink orange purple brown grey
mint peach lilac sky weather sun cloud clouds rain wind snow wall walls floor scarf hat coat dress friend friends boy
girl man woman lady robot chick bird child children people everyone somebody nobody thing things day morning afternoon
evening night time home house way place world story picture frame walked walking strolls strolled strolling wandered
wandering ran running jog jogs jogged jogging raced racing dashed jumped jumping hopped hopping leapt leaping skips
skip skipped skipping bounced bouncing sat sitting rest rests rested resting slept sleeping asleep nap naps napped
napping snoring snore snores waved waving greet greeted hello hi goodbye bye danced dancing spin spins spun spinning
twirled twirling cheered cheering shout shouts shouted clap claps clapped hooray hurray hold held holding carry
carried carrying open opened opening bring brings brought take took taking give gave giving get gets got find finds
found see sees saw look looks looked looking watch watches watched watching meet meets met meeting go goes went going
come comes came coming leave leaves left arrive arrives arrived stay stays stayed stand stands stood standing play
plays played playing sing sings sang singing read reads reading eat eats ate eating bake bakes baked make makes made
fly flies flew flying throw throws threw kick kicks kicked catch catches caught pick picks picked smell smells smelled
say says said tell tells told ask asks asked call calls called smile smiles smiled laugh laughs laughed love loves
loved like likes liked want wants wanted need needs needed join joins joined follow follows followed chase chases
chased help helps helped show shows showed share shares shared put puts keep keeps kept wear wears wearing sea seaside
beach sand sandy shore waves water meadow grass field forest wood woods trees tree mountain mountains hill hills peak
peaks city town street road buildings desert dune dunes cactus cacti farm farmyard barn playground park swing swings
slide kitchen stove table cooker bedroom bed bedtime classroom school blackboard desk library shelf shelves bookshelf
bookshelves umbrella umbrellas balloon balloons book books ball balls kite kites cake cakes guitar guitars music song
songs tune flower flowers rose game games
"""
FREE_WORDS: tuple[str, ...] = tuple(_FREE_TEXT.split())
