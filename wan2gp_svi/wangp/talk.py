"""SVI-Talk in WanGP: a face that speaks for as long as its sound.

WanGP's MultiTalk makes the sound's embeddings once, and cuts for each window those of the frames
from the window's first one on, in the whole video. Window i >= 1 of SVI-Talk repeats one frame and
adds 80, so it hears the sound from frame 80 i of 25 a second, and lips stay in time for any length.
(The authors' loop, `test_svi_talk.py`, keeps the frame that repeats and starts at 81 i - 1: sound
and picture part by a frame a window.) What is left to do here is the plan: it ends with the sound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.vae import VAE_STRIDE, floor_frames
from wan2gp_svi.svi.windows import Chain
from wan2gp_svi.wangp.console import say


def length(
    given: Mapping[str, Any], chain: Chain, seconds_of: Callable[[str], float] | None = None
) -> int:
    """The frames that are asked for, as far as there is sound: to the latent that its end is in.

    A sound belongs to the whole video, so one that is continued hears it from where it stopped;
    with WanGP's alignment to the first new frame ("T") it begins there. Raises `UserError` where
    there is no sound, or none is left. `seconds_of`: the length of a sound file, else as WanGP
    measures it.
    """
    letters = set(str(given.get("audio_prompt_type") or ""))
    if not letters & set("ABX") or not given.get("audio_guide"):
        raise UserError("SVI-Talk speaks a sound, and there is none: give it a voice to speak.")
    seconds_of = seconds_of or _seconds
    seconds = seconds_of(given["audio_guide"])
    if given.get("audio_guide2") and "B" in letters:  # in turn, or both at once
        other = seconds_of(given["audio_guide2"])
        seconds = seconds + other if "C" in letters else min(seconds, other)
    aligned = "T" in str(given.get("video_prompt_type") or "")
    before = 0 if aligned else max(chain.source_frames - 1, 0)
    frames = math.ceil(chain.fps * seconds)
    heard = floor_frames(frames + VAE_STRIDE - 1)
    left = heard - before
    if left < 1 + VAE_STRIDE:
        raise UserError(
            f"The sound is {seconds:.2f} s long, and the video that is continued is"
            f" {chain.source_frames / chain.fps:.2f} s already: give it the sound of the whole"
            " longer video, or align the sound to the part that is new."
        )
    asked = int(given["video_length"])
    if left < asked:
        say(f"the sound ends the video: it is {seconds:.2f} s long, {frames} frames")
    return min(asked, left)


def _seconds(path: str) -> float:
    """As WanGP measures it."""
    import librosa

    return float(librosa.get_duration(path=path))
