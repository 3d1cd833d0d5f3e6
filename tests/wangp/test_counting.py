"""The numbers of windows in a message count from one start: the whole video's first window."""

from __future__ import annotations

import pytest

from wan2gp_svi.svi.carry import Carry
from wan2gp_svi.svi.modes import PRO
from wan2gp_svi.svi.prompts import PromptError
from wan2gp_svi.svi.schedule import segments_of
from wan2gp_svi.svi.windows import Chain, sizes
from wan2gp_svi.wangp import progress
from wan2gp_svi.wangp.pipeline import _announce
from wan2gp_svi.wangp.run import Run
from wan2gp_svi.wangp.settings import Settings
from wan2gp_svi.wangp.task import times_of


def continued(*prompts: str) -> Run:
    """153 more frames, in two windows, after a video of two."""
    chain = Chain(source_frames=157, windows_before=2)
    carry = Carry(chain, PRO, 1.0, 1.0)
    return Run(Settings(), carry, sizes(153, chain), windows_before=2, written=list(prompts))


def test_a_continued_video_goes_on_counting(capsys) -> None:
    run = continued("a cat (at 2 s: it jumps)", "a dog")
    lines = times_of(run)
    assert [line.split(",")[0] for line in lines] == ["window 3", "window 3"]
    window = run.begin(2, 0, "a dog")
    _announce(run, window, segments_of(window, "a dog"))
    said = capsys.readouterr().out
    assert "window 4/4: frames 234-309," in said
    assert said.rstrip().endswith("hand-over 1 latent from window 3")


def test_so_does_a_mistake() -> None:
    with pytest.raises(PromptError, match=r"Prompt 2: 9 s is past the end of window 4,"):
        times_of(continued("a cat", "a dog (at 9 s: it barks)"))


def test_of_a_foreign_video_the_windows_are_not_counted(capsys) -> None:
    """Only its frames are known: that so many windows made them would be invented."""
    run = continued("a cat")
    run.windows_before = 0
    window = run.begin(1, 0, "a cat")
    _announce(run, window, segments_of(window, "a cat"))
    said = capsys.readouterr().out
    assert "window 1/2: frames 158-233," in said
    assert said.rstrip().endswith("the video's own end before it")


def test_the_status_says_why_a_hand_over_is_not_used() -> None:
    run = continued("a cat")
    run.unused = "its frames are others"
    progress.begin({}, 1.0)
    window = run.begin(1, 0, "a cat")
    _announce(run, window, segments_of(window, "a cat"))
    now = progress.of(progress._now.gen)
    progress.end()
    assert now.line == (
        "SVI window 3 of 4, the start image, the video's own end before it, encoded again (its"
        ' frames are others), "a cat"'
    )
