"""StoryGPT-V: a reference implementation of both stages, in miniature and at paper scale.

The public classes are importable from here and loaded when first asked for: ``import storygptv`` itself is light. The
``model_index.json`` of a saved pipeline names our components ``["storygptv", "AlignerHeads"]`` and so on; diffusers
looks them up here, with ``ModelMixin`` beside them, by which it knows how to load them.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "AlignedLLM": "storygptv.aligner.model",
    "AlignerHeads": "storygptv.aligner.heads",
    "CharacterFusion": "storygptv.char_ldm.fusion",
    "CharLDM": "storygptv.char_ldm.model",
    "ModelMixin": "diffusers",
    "PatchAutoencoderKL": "storygptv.char_ldm.autoencoder",
    "SamplerConfig": "storygptv.char_ldm.sampling",
    "StoryGPTVPipeline": "storygptv.pipeline",
    "StoryGPTVPipelineOutput": "storygptv.pipeline",
}
__all__ = sorted(set(_HOME) - {"ModelMixin"})


def __getattr__(name: str) -> object:
    """Load a public class from where it lives."""
    if name not in _HOME:
        raise AttributeError(f"module 'storygptv' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return [*__all__, "__version__"]
