"""SVI-Talk in WanGP: a face that speaks for as long as its sound.

WanGP's MultiTalk makes the sound's embeddings once, and cuts for each window those of the frames
from the window's first one on, in the whole video. Window i >= 1 of SVI-Talk repeats one frame and
adds 80, so it hears the sound from frame 80 i of 25 a second, and lips stay in time for any length.
(The authors' loop, `test_svi_talk.py`, keeps the frame that repeats and starts at 81 i - 1: sound
and picture part by a frame a window.) What is left to do here: the plan ends with the sound, and
where WanGP takes the sound out of a video that is continued as AAC (before 12), it is decoded from
the video instead: a bare AAC track is a packet late, 64 ms of speech. And a sound that is to begin
with the first new frame ("T") is given silence as long as the video before it: WanGP's own
alignment stops multitalk with an error in some versions (12.60).
"""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.vae import VAE_STRIDE, floor_frames
from wan2gp_svi.svi.windows import Chain
from wan2gp_svi.video.sound import end_with_pictures
from wan2gp_svi.wangp.console import say
from wan2gp_svi.wangp.run import Run, current
from wan2gp_svi.wangp.streaming import SOUND
from wan2gp_svi.wangp.wrapping import arguments, wrap


def attach(wgp: dict[str, Any]) -> None:
    """Wrap the function of wgp.py's globals that puts sound to a video."""
    wrap(wgp, SOUND, joined)


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


@contextmanager
def aligned(run: Run, given: Mapping[str, Any], told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """`told`, what WanGP is to be told; with it sounds that are to begin with the first new frame.

    The files live as long as the task. Raises `UserError` where a sound cannot be read.
    """
    letters = str(given.get("video_prompt_type") or "")
    if not run.mode.sound or "T" not in letters:
        yield told
        return
    run.asked = {**run.asked, "video_prompt_type": letters}
    told = {**told, "video_prompt_type": letters.replace("T", "")}
    kinds = str(given.get("audio_prompt_type") or "")
    names = ["audio_guide"]
    if "B" in kinds and "C" not in kinds:  # both at once; in turn, the second comes later anyway
        names.append("audio_guide2")
    seconds = run.chain.source_frames / run.chain.fps
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name in names if seconds else ():
            path = str(Path(folder) / f"{name}.wav")
            try:
                _decode(given[name], 0, path, seconds)
            except subprocess.CalledProcessError:
                sentence = f"{Path(given[name]).name} cannot be read as a sound."
                raise UserError(sentence) from None
            told[name] = path
            run.asked = {**run.asked, name: given[name]}
        yield told


def joined(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """WanGP puts the sound of the source and the new one together: the source's without delay, and
    both to the end of the pictures, to the sample."""
    run, given = current(), arguments(original, args, kwargs)
    if run is None or not run.mode.sound:
        return original(*args, **kwargs)
    tracks = given.get("source_audio_tracks") or []
    late = [track for track in tracks if not str(track).endswith(".wav")]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if run.source_path is not None and late:
            decoded = [str(Path(folder) / f"{number}.wav") for number in range(len(tracks))]
            for number, path in enumerate(decoded):
                _decode(run.source_path, number, path)
            given = {**given, "source_audio_tracks": decoded}
        result = original(**given)
    try:
        end_with_pictures(Path(given["save_path_tmp"]))
    except (KeyError, UserError, OSError) as error:
        say(f"the sound may go on behind the last frame: {error}")
    return result


def _decode(source: str, number: int, path: str, silence: float = 0.0) -> None:
    """A sound track as a wav file, with so many seconds of silence in front.

    A video's edit list says where its sound begins.
    """
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", source]
    command += ["-map", f"0:a:{number}"]
    if silence:
        command += ["-af", f"adelay={1000 * silence:.6f}:all=1"]
    subprocess.run([*command, path], check=True, capture_output=True)


def _seconds(path: str) -> float:
    """As WanGP measures it."""
    import librosa

    return float(librosa.get_duration(path=path))
