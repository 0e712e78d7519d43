"""The protocols by name: ours first, then those of the field's papers, then stand-ins that need no download.

A *stand-in* sends frames through the very chain of a protocol (resizes, range, reference rule, mistakes included) and
then lets the ToonSV network look, at 128 pixels, instead of Inception, DINOv2 or CLIP. Its values show how far
protocols disagree on one set of frames; they are no FIDs and belong beside no published number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from storybench.errors import unknown
from storybench.perception.protocols.protocol import InputRange, Protocol, Reference, Resize

SCRIPT, STATE = "inception-2015-12-05", "pt_inception-2015-12-05-6726825d"  # asset ids
DINOV2, CLIP = "dinov2-vitl14", "clip-vit-l14-336"
PERCEIVER = "toonsv_perceiver"
SCRIPT_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"  # metrics.md 5.1
STATE_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"  # pytorch-fid and torch-fidelity
DINOV2_SHA256 = "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23"  # facebook/dinov2-large
CLIP_SHA256 = "c6032c2e0caae3dc2d4fba35535fa6307dbb49df59c7e182b1bc4b3329b81801"  # openai, pytorch_model.bin
PERCEIVER_SHA256 = "38fcde30348206ca3f2948204fbeeb9036ced805bfb96ddd0e114be92f34201a"  # toonsv-perceiver-v1
PERCEIVER_PX, PERCEIVER_WIDTH = 128, 160
DRAWS = 5  # metrics.md 5.5
DRAWN = Reference("drawn", DRAWS)
SEEN_64 = (Resize("pil_bilinear_uint8", 64), Resize("torch_bilinear", 299))


def _inception(
    name: str, resize: tuple[Resize, ...], input_range: InputRange = "tensorflow", reference: Reference | None = None
) -> Protocol:
    weights = (SCRIPT, SCRIPT_SHA256) if reference is None else (STATE, STATE_SHA256)
    return Protocol(f"fid/{name}", "v1", *weights, resize, input_range, reference or Reference())


CLEAN = Resize("pil_bicubic", 299)
PUBLISHED: tuple[Protocol, ...] = (
    _inception("clean-inception", (CLEAN,)),
    _inception("tf-inception", (Resize("tf1_bilinear", 299),)),
    _inception("native128", (Resize("area_down", 128), CLEAN)),
    Protocol("fd/dinov2-vitl14", "v1", DINOV2, DINOV2_SHA256, (Resize("pil_bicubic", 224),), "imagenet", width=1024),
    Protocol("cmmd/clip-l14-336", "v1", CLIP, CLIP_SHA256, (Resize("pil_bicubic", 336),), "clip", width=768),
    _inception(
        "legacy-storygptv",
        (Resize("pil_bilinear_uint8_short_side", 299), Resize("centre_crop", 299)),
        "imagenet_taken_as_symmetric",
        replace(DRAWN, batch_stories=16),
    ),
    _inception("legacy-arldm", SEEN_64, "symmetric", DRAWN),
    _inception("legacy-storyviz", SEEN_64, "symmetric", DRAWN),
    # its order is that of the split file: open the data set with rule=first_1900
    _inception("legacy-storydalle", SEEN_64, "symmetric", replace(DRAWN, first_stories=1900)),
    # metrics.md 5.5; some of its scripts prepare true and drawn frames differently, which is not repeated here
    _inception(
        "legacy-makeastory", (Resize("pil_bilinear_uint8", 256), Resize("torch_bilinear", 299)), "symmetric", DRAWN
    ),
)
DEFAULT = PUBLISHED[0].id


def stand_in(protocol: Protocol) -> Protocol:
    """Return the protocol whose chain is that of ``protocol`` and whose network is ToonSV's.

    Inception's range is kept, right or wrong. DINOv2's and CLIP's own normalisation is no part of the pictures and is
    left out.
    """
    distance, _, way = protocol.name.partition("/")
    return replace(
        protocol,
        name=f"{'cmmd' if distance == 'cmmd' else 'fd'}/toonsv-perceiver/{way}",
        extractor=PERCEIVER,
        weights_sha256=PERCEIVER_SHA256,
        resize=(*protocol.resize, Resize("area", PERCEIVER_PX)),
        input_range="symmetric" if protocol.input_range in ("imagenet", "clip") else protocol.input_range,
        width=PERCEIVER_WIDTH,
        stand_in=True,
    )


STAND_INS: tuple[Protocol, ...] = tuple(stand_in(protocol) for protocol in PUBLISHED)
PROTOCOLS: dict[str, Protocol] = {protocol.id: protocol for protocol in (*PUBLISHED, *STAND_INS)}
ALIASES = {"fid:standard": DEFAULT, "fid:sgv": "fid/legacy-storygptv/v1"}
ALL = "all"


def protocol(name: str) -> Protocol:
    """Return the protocol with an id or alias.

    Raises:
        ConfigError: If there is none.
    """
    wanted = ALIASES.get(name, name)
    if wanted not in PROTOCOLS:
        raise unknown("protocol", name, [*PROTOCOLS, *ALIASES])
    return PROTOCOLS[wanted]


def choose(wanted: str | Protocol | Sequence[str | Protocol]) -> list[Protocol]:
    """Return the protocols called ``wanted``, each once; ``all`` is every one, in the order of printing.

    A protocol object stands for itself, so that one of your own is run like the others.

    Raises:
        ConfigError: If a name is unknown.
    """
    listed = [wanted] if isinstance(wanted, str | Protocol) else list(wanted)
    found: dict[str, Protocol] = {}
    for each in listed:
        if each == ALL:
            found |= PROTOCOLS
            continue
        chosen = protocol(each) if isinstance(each, str) else each
        found[chosen.id] = chosen
    return list(found.values())
