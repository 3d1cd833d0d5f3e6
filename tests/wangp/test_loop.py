"""What the loop decides before it starts, without WanGP."""

import functools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.carry import Carry
from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.svi.prompts import PromptError
from wan2gp_svi.svi.windows import Chain, Size, layout, sizes
from wan2gp_svi.wangp import console, task
from wan2gp_svi.wangp.names import PRO
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
    run = Run(Settings(), Carry(chain), sizes(41, chain), written=list(written))
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


def test_a_list_of_seeds_goes_on_in_the_next_video_of_a_task():
    """WanGP takes another seed for the second video; the list moves with it."""
    chain = Chain(size=Size(17), seeds=(7, 100))
    run = Run(Settings(seeds=(7, 100)), Carry(chain), sizes(41, chain))
    first = [run.begin(k, 7, "x").seed for k in (1, 2, 3)]
    second = [run.begin(k, 1007, "x").seed for k in (1, 2, 3)]
    assert first == [7, 100, 142]
    assert second == [1007, 1100, 1142]


PICTURE = Image.new("RGB", (8, 8), "red")


def a_task(**changes):
    given = {
        "image_prompt_type": "S",
        "image_start": [PICTURE],
        "image_refs": None,
        "video_prompt_type": "",
        **changes,
    }
    in_place = changes.get("in_place", False)
    return task._check_start(given, MODES["pro"], changes.get("path"), in_place)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_start": None}, "starts from a picture"),
        ({"image_start": None, "image_prompt_type": ""}, "starts from a picture"),
        ({"image_start": None, "image_refs": ["x"]}, "starts from a picture"),
        ({"image_start": None, "image_prompt_type": "L"}, "no video yet"),
    ],
)
def test_nothing_to_start_from_is_told(changes, words):
    with pytest.raises(UserError, match=words):
        a_task(**changes)


def test_anchors_serve_where_there_is_no_start_image():
    a_task(image_start=None, image_refs=["x"], video_prompt_type="KI")
    a_task(image_start=None, image_prompt_type="V", path="clip.mp4")
    a_task()
    a_task(image_start=PICTURE)


def test_a_model_that_is_told_in_place_may_begin_with_words(capsys):
    """Wan 2.2 5B makes a video of words alone; i2v models cannot."""
    assert a_task(image_start=None, image_prompt_type="", in_place=True)
    assert "words alone make window 1" in capsys.readouterr().out
    assert not a_task(in_place=True)
    assert not a_task(image_start=None, image_refs=["x"], video_prompt_type="KI", in_place=True)
    with pytest.raises(UserError, match="no control video"):
        a_task(in_place=True, video_prompt_type="VG")


def test_a_black_picture_in_the_place_of_none_is_said(capsys):
    """WanGP's page offers it: no start image means black frames."""
    a_task()
    assert capsys.readouterr().out == ""
    a_task(image_start=[Image.new("RGB", (8, 8))])
    assert "starts from black" in capsys.readouterr().out


def test_a_start_image_may_be_the_name_of_a_file(capsys):
    """A settings file that another program runs holds names."""
    a_task(image_start="start.png")
    a_task(image_start=["start.png"])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("keep", "kept"), [("", 40), ("40", 40), ("7", 7), ("-3", 37)])
def test_how_much_of_a_video_is_kept(keep, kept):
    wgp = {"get_video_info": lambda path: (16, 64, 64, 40)}
    assert task._frames(wgp, "clip.mp4", {"keep_frames_video_source": keep}, 16.0) == kept


@pytest.mark.parametrize("keep", ["41", "-40", "-99"])
def test_more_of_a_video_than_it_has_cannot_be_kept(keep):
    wgp = {"get_video_info": lambda path: (16, 64, 64, 40)}
    with pytest.raises(UserError, match="has 40 frames"):
        task._frames(wgp, "clip.mp4", {"keep_frames_video_source": keep}, 16.0)


def test_more_latents_from_a_video_that_is_continued():
    """[/overlap=9] in the first window of a continuation: that window, and no other, repeats 9."""
    chain = Chain(size=Size(21), source_frames=40, windows_before=1)
    windows = layout([Size(21, 2), Size(21)], chain)
    assert [(w.drop_front, w.motion_latents, w.adds) for w in windows] == [(9, 2, 12), (5, 1, 16)]


def test_a_task_function_that_hides_its_parameters_runs_as_it_is():
    """Decorated without care, it shows (*args, **kwargs) only."""
    wgp = {"generate_media": lambda *args, **kwargs: (args, kwargs)}
    task.attach(wgp)
    call = {"model_type": "i2v", "custom_settings": None}
    assert wgp["generate_media"](1, **call) == ((1,), call)


def test_a_decorated_task_function_is_known_by_its_parameters():
    def generate_media(task, model_type, image_mode=0, custom_settings=None, mode=""):
        return model_type

    @functools.wraps(generate_media)
    def decorated(*args, **kwargs):
        return generate_media(*args, **kwargs)

    seen = []
    wgp = {
        "generate_media": decorated,
        "get_model_def": lambda model_type: seen.append(model_type) or {},
        "get_base_model_type": lambda model_type: model_type,
    }
    task.attach(wgp)
    assert wgp["generate_media"]({}, "t2v") == "t2v"
    assert seen == ["t2v"]


@pytest.mark.parametrize("base", ["infinitetalk", "flf2v_720p", "fun_inp_1.3B", "t2v", PRO])
def test_a_mode_is_refused_where_no_test_has_seen_it_right(base):
    with pytest.raises(UserError, match="not one of this model's"):
        task.mode_of({}, base, {"custom_settings": {"svi_mode": "talk"}})
