"""What the loop decides before it starts, without WanGP."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan2gp_svi.svi.carry import Carry
from wan2gp_svi.svi.prompts import PromptError
from wan2gp_svi.svi.windows import Chain, Size, sizes
from wan2gp_svi.wangp import console, task
from wan2gp_svi.wangp.run import Run
from wan2gp_svi.wangp.settings import Settings

BUDGETS = [(832, 480), (480, 832), (624, 624), (1280, 720), (720, 1280), (960, 960), (960, 544)]


def rounded(asked, picture, fit):
    """The size that WanGP makes of a picture: the budget's pixels or box, sides in 16s."""
    (width, height), (a, b) = picture, asked
    scale = math.sqrt(a * b / (width * height))
    if fit == 1:
        scale = max(min(a / width, b / height), min(b / width, a / height))
    return round(width * scale / 16) * 16, round(height * scale / 16) * 16


def own_size(asked, video, fit):
    namespace = {
        "server_config": {"fit_canvas": fit},
        "get_video_info": lambda path: (16, *video, 81),
    }
    return task._own_size(namespace, {"resolution": "{}x{}".format(*asked)}, "clip.mp4")


@given(
    st.sampled_from(BUDGETS), st.integers(256, 4096), st.floats(0.4, 2.5), st.sampled_from([0, 1])
)
def test_a_video_made_at_a_resolution_goes_on_at_its_own_size(asked, width, ratio, fit):
    video = rounded(asked, (width, round(width / ratio)), fit)
    assert own_size(asked, video, fit) == "{}x{}".format(*video)
    assert rounded(video, video, fit) == video  # what WanGP makes of it when it is told so


def test_that_it_was_needed():
    video = rounded((832, 480), (1920, 1080), 0)
    assert video == (848, 480)
    assert rounded((832, 480), video, 0) == (832, 480)


@pytest.mark.parametrize("fit", [0, 1])
@pytest.mark.parametrize(
    ("asked", "video"),
    [((1280, 720), (848, 480)), ((832, 480), (1280, 720)), ((832, 480), (850, 478))],
)
def test_another_resolution_is_what_the_user_asked(asked, video, fit):
    assert own_size(asked, video, fit) is None


def test_cropping_is_to_the_size_asked():
    assert own_size((832, 480), (848, 480), 2) is None


def a_run(*written):
    chain = Chain(size=Size(17))
    run = Run(Settings(), Carry(chain), sizes=sizes(41, chain), written=list(written))
    run.begin(1, 7, "x")
    return run


def test_what_an_enhancer_wrote_wrong_does_not_end_the_run(capsys):
    console._told.clear()
    run = a_run("a cat")
    window = run.begin(1, 7, "a black cat (at 6 seconds: it jumps")
    (segment,) = run.segments(window)
    assert segment.words == "a black cat (at 6 seconds: it jumps"
    assert "taken as it stands" in capsys.readouterr().out
    own = a_run("a cat (at 6 seconds: it jumps")
    with pytest.raises(PromptError):
        own.segments(own.begin(1, 7, "a cat (at 6 seconds: it jumps"))


def test_a_prompt_that_wangp_changed_still_serves_its_windows():
    """Slash commands leave WanGP's prompts other than those written: three windows, two prompts."""
    later = "it rains (at 1.5 seconds of video: it stops) (at 2.3 seconds of video: it snows)"
    run = a_run("[/x] a cat", f"[/x] {later}")
    for number, prompt in enumerate(["a cat", later, later], 1):
        window = run.begin(number, 7, prompt)
        words = [segment.words for segment in run.segments(window)]
    assert words[-1] == "it rains it snows"
