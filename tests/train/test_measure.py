"""The figures of the evidence: the truth scores full marks, each fault shows in its own figure."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from wan2gp_svi.train import evidence, measure, tiny, world
from wan2gp_svi.train.world import COLOURS, Clip, Part, State


@pytest.fixture(scope="module")
def truth():
    scene = world.random_scene(np.random.default_rng(5))
    colour = "red" if scene.ground_colour != "red" else "blue"
    start = State(24.0, 32.0, 9.0, 0.0, colour, COLOURS[colour])
    told = world.tell(Clip(scene, start, (Part(20, "right"),)))
    video = tiny.decode(tiny.encode(world.draw([scene], told.rows[None])))[0]
    return scene, start, told, video, measure.ground_of(scene, 64)


def seen(truth, video):
    scene, start, _, _, ground = truth
    return measure.look(video, scene, start.colour, start.radius, ground)


def test_the_truth_is_found_where_it_is(truth):
    _, _, told, video, _ = truth
    out = seen(truth, video)
    assert out.present == 1 and out.background < 0.01 and out.colour < 0.1
    assert out.sharpness == pytest.approx(1, abs=0.15)
    assert out.saturation == pytest.approx(1, abs=0.05)
    assert np.abs(out.places - told.rows[:, :2]).max() < 2.5


def test_blur_lowers_sharpness(truth):
    video = truth[3]
    blurred = F.avg_pool2d(video, 5, 1, 2, count_include_pad=False)
    assert seen(truth, blurred).sharpness < 0.7 * seen(truth, video).sharpness


def test_grey_lowers_saturation_and_the_ground_is_off(truth):
    video = truth[3]
    grey = 0.5 * video + 0.5 * video.mean(dim=0, keepdim=True)
    out = seen(truth, grey)
    assert out.saturation < 0.7 and out.background > 2 * seen(truth, video).background


def test_an_object_that_is_gone_is_missed(truth):
    ground = truth[4]
    assert seen(truth, ground[:, None].expand(-1, 5, -1, -1)).present == 0


def test_a_jump_is_seen_at_the_join(truth):
    video = truth[3]
    smooth = measure.seam(video[:, :9], video[:, 9:])
    jump = measure.seam(video[:, :9], video[:, 18:])
    assert smooth < 2 < jump


def test_it_obeys_if_it_went_the_way_it_was_told(truth):
    places = seen(truth, truth[3]).places
    assert evidence.obeys(places, "right", 21) == 1
    assert all(evidence.obeys(places, side, 21) == 0 for side in ("left", "up", "down"))
    assert evidence.obeys(np.full((5, 2), np.nan), "left", 5) == 0


def test_a_films_object_stays_in_the_picture():
    film = evidence.film(3, 50)
    assert len(film.moves) == 50 and len(set(film.moves)) == 4
    x, y = film.start.x, film.start.y
    for move in film.moves:
        x += world.WAYS[move][0] * world.SPEED * 20
        y += world.WAYS[move][1] * world.SPEED * 20
        assert film.start.radius <= x <= 64 - film.start.radius
        assert film.start.radius <= y <= 64 - film.start.radius


@pytest.mark.parametrize("key", evidence.WAYS_COMPARED)
def test_every_way_makes_a_chain(key):
    torch.set_num_threads(1)
    size = tiny.Size(dim=128, ffn_dim=64, num_heads=1, num_layers=1, freq_dim=32)
    model = tiny.new_model(size, 0)
    films = [evidence.film(number, 3) for number in range(2)]
    rows, lasts = evidence.chain(evidence.WAYS_COMPARED[key], films, 3, (model, model))
    assert [row["window"] for row in rows] == [1, 2, 3] and lasts.shape == (3, 2, 3, 64, 64)
    assert "| " + key in evidence.table({key: rows})
