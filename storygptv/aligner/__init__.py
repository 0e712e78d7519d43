"""Stage 2 of StoryGPT-V: a frozen language model that reads a story and conditions the picture model."""
