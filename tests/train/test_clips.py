"""A folder of captioned clips: what is read of it, and which pieces there are."""

import pytest
import small_wan
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wan2gp_svi.errors import UserError
from wan2gp_svi.train import clips


@given(st.integers(1, 300), st.integers(2, 20).map(lambda k: 4 * k + 1))
@settings(max_examples=60, deadline=None)
def test_a_piece_lies_in_its_clip_and_its_references_outside_of_it(count, window):
    found = clips.pieces(count, window)
    assert bool(found) == (count > window)
    for piece in found:
        inside = range(piece.start, piece.start + window)
        assert inside.start >= 0 and inside.stop <= count
        assert 1 <= len(piece.references) <= clips.REFERENCES
        assert all(0 <= i < count and i not in inside for i in piece.references)
    if found:
        assert found[-1].start + window == count


def test_each_clip_has_its_words(clip_folder):
    found = clips.captioned(clip_folder)
    assert [path.stem for path, _ in found] == ["long", "short", "two words"]
    assert all(text and text == text.strip() for _, text in found)


def test_a_clip_without_words_is_named(tmp_path):
    small_wan.clips(tmp_path, {"one": 5, "other": 5})
    (tmp_path / "other.txt").unlink()
    with pytest.raises(UserError, match=r"other\.mp4.*no words"):
        clips.captioned(tmp_path)


def test_a_folder_without_clips_is_said_to_be_one(tmp_path):
    with pytest.raises(UserError, match="no clips"):
        clips.captioned(tmp_path)


def test_the_middle_of_a_clip_fills_the_size(clip_folder):
    path = clip_folder / "long.mp4"  # 80 x 64
    wide, square = clips.frames(path, 16, 80, 64), clips.frames(path, 16, 64, 64)
    assert wide.shape == (3, 40, 64, 80) and wide.dtype == torch.uint8
    assert torch.equal(square, wide[..., 8:72])


def test_frames_are_those_of_the_rate_asked_for(clip_folder):
    path = clip_folder / "long.mp4"  # 16 frames a second
    every, second = clips.frames(path, 16, 64, 64), clips.frames(path, 8, 64, 64)
    assert second.shape[1] == 20
    assert all(
        any(torch.equal(second[:, i], every[:, k]) for k in (2 * i, 2 * i + 1)) for i in range(20)
    )
