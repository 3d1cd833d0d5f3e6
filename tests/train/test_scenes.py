"""What measures changes of scene and pans, on films whose truth is known."""

from __future__ import annotations

import pytest
import torch

from wan2gp_svi.train import evidence, scenes, tiny, world
from wan2gp_svi.train.world import Clip, Part


@pytest.mark.parametrize("number", range(4))
def test_a_true_pan_is_measured_as_it_is(number):
    film, side = evidence.film(number, 2), list(world.WAYS)[number]
    told = world.tell(Clip(film.scene, film.start, (Part(44, pan=side),)))
    video = tiny.decode(tiny.encode(world.draw([film.scene], told.rows[None])))[0]
    went = scenes._travelled(video[:, :25], video[:, 25:45], scenes._along(film, side))
    assert went == pytest.approx((12, 0.5, 9.5), abs=0.6)


def test_a_camera_that_goes_back_at_the_join_is_seen():
    film = evidence.film(1, 2)
    told = world.tell(Clip(film.scene, film.start, (Part(24, pan="left"),)))
    video = tiny.decode(tiny.encode(world.draw([film.scene], told.rows[None])))[0]
    went = scenes._travelled(video, video[:, :20], scenes._along(film, "left"))
    assert went[1] == pytest.approx(-12, abs=0.6)


@pytest.mark.parametrize("way", scenes.WAYS)
def test_the_plan_of_two_scenes(way):
    windows = scenes.planned(way, 7)
    assert len(windows) == scenes.BEFORE + scenes.BEHIND
    change = windows[scenes.BEFORE]
    assert change.on_image == (way == "new shot")
    assert [w.anchor for w in windows[scenes.BEFORE :]] == [int(way != "one anchor")] * 5
    assert [w.on_image for w in windows].count(True) == 1 + (way == "new shot")


def test_the_new_place_is_told_from_the_old_one():
    first, second = evidence.film(0, 1), evidence.film(500, 1)
    told = world.tell(Clip(second.scene, second.start, (Part(24, second.moves[0]),)))
    video = tiny.decode(tiny.encode(world.draw([second.scene], told.rows[None])))[0]
    new, old, found, obeys = scenes._seen(video, first, second, 0)
    assert new < 0.02 < 0.1 < old
    assert found > 0.9 and obeys == 1
    assert torch.isfinite(video).all()
