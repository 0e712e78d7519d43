"""The pictures of ToonSV: :func:`render` draws a scene, :func:`portrait` one character alone."""

from __future__ import annotations

from storybench.data.toonsv.drawing.render import portrait, render

__all__ = ["portrait", "render"]
