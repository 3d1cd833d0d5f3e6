"""The self-test's pass with seeded faults in the extension, one after the other in one WanGP.

Takes child.py's arguments; OUT/<fault>/ holds what a pass with that fault has found, OUT/none/ one
without. A fault is put into the extension in memory, where it would be if it were a mistake.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from wan2gp_svi.selftest import child


@contextlib.contextmanager
def instead(owner, name, function):
    """`function(original, ...)` in the place of a function, for a while."""
    original = getattr(owner, name)
    setattr(owner, name, lambda *a, **k: function(original, *a, **k))
    try:
        yield
    finally:
        setattr(owner, name, original)


def wrong_seed():
    """Every window draws the noise of the first one's seed."""
    from wan2gp_svi.wangp.run import Run

    def begin(original, run, *args):
        return replace(original(run, *args), seed=run.chain.seed)

    original = Run.begin

    @contextlib.contextmanager
    def put():
        Run.begin = lambda run, *args: begin(original, run, *args)
        try:
            yield
        finally:
            Run.begin = original

    return put()


def lost_handover():
    """The motion latent is not in the conditioning."""
    from wan2gp_svi.wangp import pipeline

    def condition(original, carry, window, *args):
        y = original(carry, window, *args).clone()
        y[4:, 1 : 1 + window.motion_latents] = 0
        return y

    return instead(pipeline, "condition_window", condition)


def frame_shifted():
    """The third window's new frames begin with the last one of the window before."""
    from wan2gp_svi.wangp import pipeline

    def expected(original, result, run, window, kwargs):
        result = original(result, run, window, kwargs)
        if window.index == 3:
            frames = result["x"]
            result["x"] = frames.clone()
            result["x"][:, 5:15] = frames[:, 4:14]
        return result

    return instead(pipeline, "_as_host_expects", expected)


def late_prompt():
    """A timed part begins one latent late."""
    from wan2gp_svi.wangp import pipeline

    def timed(original, pipe, segments):
        if len(segments) > 1:
            first, second = segments
            late = second.first_latent + 1
            segments = (replace(first, stop_latent=late), replace(second, first_latent=late))
        return original(pipe, segments)

    return instead(pipeline, "timed", timed)


def lora_ignored():
    """A LoRA with the authors' keys is read and has no weight."""
    from wan2gp_svi.wangp import loras

    def renamed(original, sd, modules):
        weight = 0 if any(name.startswith("pipe.dit.") for name in sd) else 1
        return {name: tensor * weight for name, tensor in original(sd, modules).items()}

    return instead(loras, "renamed", renamed)


FAULTS = {
    "none": contextlib.nullcontext,
    "wrong seed": wrong_seed,
    "lost hand-over": lost_handover,
    "frame shifted": frame_shifted,
    "late prompt": late_prompt,
    "LoRA ignored": lora_ignored,
}


def every_fault(test: child.Pass) -> None:
    test.start()
    base = test.out
    for name, fault in FAULTS.items():
        test.out = base / name
        test.out.mkdir()
        test.made, test.videos = {}, {}
        test.say(f"== {name}")
        with fault():
            test.make_all()


if __name__ == "__main__":
    child.main(work=every_fault)
