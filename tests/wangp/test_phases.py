"""Three guidance phases before WanGP 10.0: two multipliers are written out as three."""

import pytest

from wan2gp_svi.svi.carry import Carry
from wan2gp_svi.svi.windows import Chain
from wan2gp_svi.wangp import phases
from wan2gp_svi.wangp.run import Run, set_current
from wan2gp_svi.wangp.settings import Settings


@pytest.mark.parametrize(
    ("given", "switch_phase", "expected"),
    [
        (["1;0", "0;1"], 2, ["1;1;0", "0;0;1"]),
        (["1;0", "0;1"], 1, ["1;0;0", "0;1;1"]),
        (["1,0.5;0"], 2, ["1,0.5;1,0.5;0"]),
        (["1;0;1", "1", 0.5], 2, ["1;0;1", "1", 0.5]),
    ],
)
def test_high_and_low_noise_in_three_phases(given, switch_phase, expected):
    assert phases.in_three_phases(given, switch_phase) == expected


@pytest.fixture
def old_wangp():
    """What a wgp.py before 10.0 reads of a model's own multipliers, and of a user's."""
    seen = []

    def parse_loras_multipliers(multipliers, count, steps, merge_slist=None, nb_phases=2):
        seen.append(multipliers)

    namespace = {"parse_loras_multipliers": parse_loras_multipliers}
    phases.attach(namespace)

    def read(own, users, nb_phases, run):
        set_current(run)
        namespace["parse_loras_multipliers"](own, len(own), 8, nb_phases=nb_phases)
        namespace["parse_loras_multipliers"](users, 1, 8, nb_phases=nb_phases)
        return seen[-2:]

    yield read
    set_current(None)


def test_only_the_models_own_in_three_phases_change(old_wangp):
    run = Run(Settings(), Carry(Chain()), switch_phase=2)
    assert old_wangp(["1;0"], "0;1;0", 3, run) == [["1;1;0"], "0;1;0"]


def test_nothing_changes_in_two_phases_or_for_another_model(old_wangp):
    run = Run(Settings(), Carry(Chain()), switch_phase=2)
    assert old_wangp(["1;0"], "1;0", 2, run) == [["1;0"], "1;0"]
    assert old_wangp(["1;0"], "1;0", 3, None) == [["1;0"], "1;0"]


def test_a_wangp_that_reads_two_itself_is_left_alone():
    def parse_loras_multipliers(multipliers, model_switch_phase=1):
        pass

    namespace = {"parse_loras_multipliers": parse_loras_multipliers}
    before = dict(namespace)
    phases.attach(namespace)
    phases.attach(empty := {})
    assert namespace == before
    assert empty == {}
