"""StoryGPT-V: a reference implementation of both stages, in miniature and at paper scale."""

__version__ = "0.1.0"
