import pytest
from PIL import Image

from storybench.data.facts import load_facts
from storybench.data.release import with_portraits
from storybench.errors import DataError

CAST = load_facts("flintstones").cast


def test_portraits_come_from_a_folder_by_name(tmp_path):
    for k, character in enumerate(CAST):
        Image.new("RGBA", (8, 8), (k, 0, 0, 255)).save(tmp_path / f"{character.name}.png")
    cast = with_portraits(CAST, tmp_path)
    assert [c.name for c in cast] == [c.name for c in CAST]
    assert [(c.portrait().mode, c.portrait().getpixel((0, 0))[0]) for c in cast] == [("RGB", k) for k in range(7)]
    (tmp_path / "Dino.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"Dino\.png"):
        cast[4].portrait()
    (tmp_path / "Mr Slate.png").unlink()
    with pytest.raises(DataError, match=r"^No Mr Slate\.png"):
        with_portraits(CAST, tmp_path)


def test_without_a_folder_nobody_has_one():
    assert all(c.portrait is None for c in with_portraits(CAST, None))
