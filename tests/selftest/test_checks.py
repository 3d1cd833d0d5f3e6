"""The checks say FAIL of what is wrong, and of nothing else; what is not known is neither."""

import numpy as np
import pytest
from small_facts import right

from wan2gp_svi.selftest import checks
from wan2gp_svi.selftest.checks import CANNOT_SAY, FAIL, PASS
from wan2gp_svi.selftest.facts import Facts, Made


def verdicts(passes):
    return {finding.key: finding.verdict for finding in checks.check(passes)}


def only(passes, key, verdict=FAIL):
    """Whether that line has this verdict, and every other one passes; what it says."""
    findings = {finding.key: finding for finding in checks.check(passes)}
    assert {k: f.verdict for k, f in findings.items() if f.verdict != PASS} == {key: verdict}
    return findings[key].why


@pytest.fixture
def passes():
    return right()


def test_everything_right_passes(passes):
    assert set(verdicts(passes).values()) == {PASS}
    assert len(verdicts(passes)) == len(checks.CHECKS)


def test_a_hook_that_is_never_called(passes):
    passes.svi.hooks["window_saved"] = 0
    assert "never called: window_saved" in only(passes, "hooks")


def test_a_hook_that_is_called_in_some_windows_only(passes):
    passes.svi.hooks["conditioning"] = 3
    assert "3 times" in only(passes, "hooks")


def test_a_window_with_another_anchor(passes):
    for run, k in (("four", 3), ("continued", 1)):
        passes.svi.made[run].arrays[f"y{k}"][4:, 0] += 1
    assert "window 3 does not start" in only(passes, "anchors")


def test_a_mask_that_marks_more(passes):
    for run, k in (("four", 2), ("two", 2)):
        passes.svi.made[run].arrays[f"y{k}"][:4, 1] = 1
    assert "mask" in only(passes, "anchors")


def test_conditioning_where_there_must_be_none(passes):
    for run, k in (("four", 1), ("two", 1)):
        passes.svi.made[run].arrays[f"y{k}"][5, 4, 0, 0] = 0.1
    assert "conditioned on something" in only(passes, "anchors")


def test_a_lost_hand_over(passes):
    for run, k in (("four", 2), ("two", 2)):
        passes.svi.made[run].arrays[f"y{k}"][4:, 1] = 0
    assert only(passes, "handover") == "window 2 was handed nothing"


def test_one_noise_for_all(passes):
    for run, numbers in (("four", (2, 3, 4)), ("two", (2,)), ("continued", (1, 2))):
        arrays = passes.svi.made[run].arrays
        for k in numbers:
            arrays[f"noise{k}"][:] = passes.svi.made["four"].arrays["noise1"]
    assert "window 2 has the noise of a window before it" in only(passes, "noise")


def test_a_noise_that_is_new_and_not_its_seeds(passes):
    for run in ("four", "two"):
        passes.svi.made[run].arrays["noise2"][:] += 0.5
    assert "not the noise of its seed, 49" in only(passes, "noise")


def test_a_frame_too_few_in_the_file(passes):
    passes.svi.made["four"].frames = passes.svi.made["continued"].frames = 52
    assert "53 frames were announced, the video has 52" in only(passes, "frames")


def test_frames_that_are_shifted(passes):
    arrays = passes.svi.made["four"].arrays
    delivered = arrays["delivered"].copy()
    delivered[:, 17:28] = arrays["decoded2"][:, 4:15]
    passes.svi.made["four"].arrays["delivered"] = delivered
    assert "frame 18 is not the one that was made" in only(passes, "frames")


def test_a_continuation_that_is_another(passes):
    passes.svi.made["continued"].arrays["latents2"][0, 0, 0, 0] += 1e-6
    assert "window 4 has other latents" in only(passes, "going_on")


@pytest.mark.parametrize("latents", [(2, 3, 4), (4,), ()])
def test_a_timed_part_that_steers_other_latents(passes, latents):
    one, other = (passes.svi.made[name].arrays for name in ("timed", "timed other"))
    other["attended2"] = one["attended2"].copy()
    for latent in latents:
        other["attended2"][4 * latent : 4 * latent + 4] += 1
    assert "not 4, 5" in only(passes, "timed")


def test_a_timed_part_that_is_felt_before_its_window(passes):
    passes.svi.made["timed other"].arrays["latents1"][0] += 1
    assert "the window before" in only(passes, "timed")


def test_a_lora_without_effect(passes):
    without = passes.svi.made["without lora"].arrays["latents1"]
    passes.svi.made["lora"].arrays["latents1"] = without
    assert only(passes, "lora") == "it changes nothing"


def test_a_lora_with_another_effect(passes):
    passes.svi.made["lora"].arrays["latents1"] = passes.svi.made["lora"].arrays["latents1"] + 1
    assert "something else" in only(passes, "lora")


def test_a_wangp_that_loads_no_lora_of_the_tests(passes):
    passes.svi.made["lora renamed"] = Made(error="no")
    assert "even with its own keys" in only(passes, "lora", CANNOT_SAY)


def test_another_model_that_is_not_as_it_was(passes):
    passes.svi.made["image"].arrays["latents2"][0] += 1
    assert "latents2 differs" in only(passes, "other_models")


def test_a_card_that_never_does_the_same_twice(passes):
    passes.svi.made["image"].arrays["latents2"][0] += 1
    again = Facts({"image": right().plain.made["image"]})
    again.made["image"].arrays["latents2"][0] += 2
    passes = checks.Passes(passes.svi, passes.plain, again=again)
    assert "by itself" in only(passes, "other_models", CANNOT_SAY)


@pytest.mark.parametrize(
    ("array", "key"),
    [
        ("noise2", "noise"),
        ("delivered", "frames"),
    ],
)
def test_what_this_wangp_does_not_show_cannot_be_decided(passes, array, key):
    del passes.svi.made["four"].arrays[array]
    found = verdicts(passes)
    assert found[key] == CANNOT_SAY and FAIL not in found.values()


def test_a_video_that_was_not_made_fails_what_needed_it(passes):
    passes.svi.made["continued"] = Made(error="ValueError: no")
    findings = {finding.key: finding for finding in checks.check(passes)}
    assert findings["going_on"].verdict == FAIL and "ValueError: no" in findings["going_on"].why


def test_a_wangp_that_did_not_start_is_never_green():
    found = verdicts(checks.Passes(Facts(), Facts()))
    assert PASS not in found.values() and found["hooks"] == FAIL


def half(off):
    """The pass in 16 bits, whose first window is `off` of the full one, relatively."""
    svi = right().svi
    for k in range(1, 5):
        svi.made["four"].arrays[f"latents{k}"] *= np.float32(1 + off)
        if k < 4:
            svi.made["four"].arrays[f"y{k + 1}"][4:, 1] *= np.float32(1 + off)
    return Facts({"four": svi.made["four"]})


@pytest.mark.parametrize(("off", "verdict"), [(0.01, PASS), (0.2, FAIL), (float("nan"), FAIL)])
def test_16_bits_may_be_off_by_their_rounding(passes, off, verdict):
    passes = checks.Passes(passes.svi, passes.plain, half=half(off))
    found = verdicts(passes)
    assert found.pop("half_precision") == verdict
    assert set(found.values()) == {PASS}
