"""The video of a run is written as it grows: every frame is compressed once.

WanGP gives all frames so far to `save_video` after each window, encodes the lot again under a new
name, and keeps them in memory for the next time; a video that is continued is read whole and
encoded again too. In a run of SVI `save_video` is asked for the new frames only, which are put
behind the film (video/writer.py), and what WanGP holds is emptied. A video that is continued is not
encoded again either (source.py).

    begin        when a run begins: what its task allows
    save         around WanGP's `save_video`
    put_sound    around WanGP's function that puts a source's sound to the video
    end          when the task has ended: a film that was stopped gets its final form

`keep_intermediate_sliding_windows` is respected: after each of the first WHOLE windows the video so
far stays, as in WanGP; of later ones the window's own part does, so that the disk does not fill
with the square of the length.
"""

from __future__ import annotations

import functools
import inspect
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.fingerprint import FRAMES
from wan2gp_svi.wangp.console import say, say_once
from wan2gp_svi.wangp.continuing import post_processed
from wan2gp_svi.wangp.film import RESIZES, Film, in_file
from wan2gp_svi.wangp.run import Run, current
from wan2gp_svi.wangp.wrapping import arguments, wrap

WHOLE = 20
"""Windows whose videos stay whole when the user keeps intermediate ones."""
PYAV = (14, 1)
"""The first version that copies streams as they are."""
KEEP = "keep_intermediate_sliding_windows"
"""WanGP's setting; versions without `record_file_metadata` (before 12) delete no video."""
SOUND = "combine_and_concatenate_video_with_audio_tracks"


def attach(wgp: dict[str, Any]) -> None:
    """Wrap the two functions named above in wgp.py's globals."""
    wrap(wgp, "save_video", functools.partial(save, wgp))
    wrap(wgp, SOUND, put_sound)


def begin(wgp: dict[str, Any], run: Run, given: Mapping[str, Any]) -> None:
    """Note what a task allows; the console says what goes WanGP's way, and why."""
    save_video = wgp.get("save_video")
    if not callable(save_video) or "container" not in inspect.signature(save_video).parameters:
        return  # not WanGP: a small host of its own
    problem = _missing()
    if problem is not None:
        say_once(f"{problem}: the video is encoded anew after every window, as WanGP does")
        return
    options = wgp.get("get_api_output_options")
    held = None
    if options is not None and options(given.get("plugin_data"))[0]:
        held = "a program asked for all frames"
        say(f"{held}: they stay in memory")
    needs_source = ("video_guide", "video_mask", "audio_guide", "audio_guide2", "audio_source")
    letters = set(str(given.get("video_prompt_type") or "")) - set("KI")
    slash = any("[/" in prompt.replace(" ", "") for prompt in run.written)
    run.film = Film(
        wgp,
        resized={name: given[name] for name in RESIZES if given.get(name)},
        processed=post_processed(given) is not None,
        short=not (letters or slash or any(given.get(name) for name in needs_source)),
        held=held,
    )


def _missing() -> str | None:
    """Why films cannot be written here; None when they can."""
    try:
        import av

        from wan2gp_svi.video import writer  # noqa: F401
    except ImportError as error:
        return f"{error.name or 'a package'} is missing"
    version = tuple(int(part) for part in av.__version__.split(".")[:2])
    return None if version >= PYAV else f"PyAV {av.__version__} is too old"


# -- saving --------------------------------------------------------------------------------------


def save(wgp: dict[str, Any], original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """WanGP's `save_video`; the video of a run is put behind what was written of it before."""
    run = current()
    given = arguments(original, args, kwargs)
    is_video = run is not None and run.window is not None and "container" in given
    if run is None or not is_video:
        return original(*args, **kwargs)  # another model's, or a mask that is kept to look at
    whole = given["tensor"]
    run.saved = (whole[0] if torch.is_tensor(whole) else whole[-1])[:, -FRAMES:], given["fps"]
    if run.film is None:
        return original(*args, **kwargs)
    run.saved = run.saved[0].clone(), run.saved[1]  # what WanGP holds is emptied
    from wan2gp_svi.video.growing import FORMATS

    film, ending = run.film, f".{given['container']}"
    if ending not in FORMATS:
        return original(*args, **kwargs)
    assert run.window is not None
    name, number = Path(given["save_file"]).with_suffix(ending), run.window.number
    if number == 1:
        _restart(film, original, given, name.parent, ending)
    frames = _new_frames(run, film, given, number == 1)
    intermediate = wgp["server_config"].get(KEEP, 1) or "record_file_metadata" not in wgp
    part = film.writer.room / f"{number}" if intermediate and number > WHOLE else None
    film.writer.add(frames.permute(1, 2, 3, 0), keep=part)
    if film.end is not None:
        run.saved = film.end, given["fps"]
    for_sound = name.stem.endswith("_tmp")  # WanGP puts the sound to it and deletes it
    _empty(film, given["tensor"], for_sound)
    last = number >= len(run.sizes)
    if not for_sound and (last or (intermediate and number <= WHOLE)):
        said = film.writer.finish(name)
        if said is not None:
            say(said)
    else:
        film.writer.show(name)
    if film.part is not None and film.shown is not None:
        with suppress(OSError):  # moved away, or held by a player
            if film.shown.exists():
                film.part.replace(film.shown)
    film.part, film.shown = part, None if for_sound else name
    return str(name)


def _restart(
    film: Film, original: Callable[..., Any], given: Mapping[str, Any], folder: Path, ending: str
) -> None:
    """A video begins: the first one of a task, or its next repetition."""
    from wan2gp_svi.video.writer import Writer

    if film.writer is not None:
        film.writer.close()
    as_list = not torch.is_tensor(given["tensor"])

    def encode(frames: Any, path: Path) -> None:
        """WanGP's own way to encode, on (F, H, W, 3): its settings, whatever its version."""
        new = torch.is_tensor(frames)
        if not new:  # of a source: uint8
            frames = torch.from_numpy(frames)
            frames = frames if as_list else frames.float().div_(127.5).sub_(1.0)
        window = frames.permute(3, 0, 1, 2)
        tensor = [window] if as_list else window[None]
        original(**{**given, "tensor": tensor, "save_file": str(path)})
        if new and film.processed:
            film.end = _end_of(path)

    rate = Fraction(given["fps"]).limit_denominator(1001)
    film.writer = Writer(folder, ending, rate, encode, film.source, film.kept, film.pieces)
    film.taken, film.shown, film.part = 0, None, None


def _end_of(part: Path) -> Tensor | None:
    """The last frames (3, F, H, W), uint8, of a window's part, as whoever continues it sees them.

    Grain and saturated colours are another colour once they have gone through YUV 4:2:0.
    """
    from wan2gp_svi.video.frames import read

    try:
        frames = deque(read(part)[1], FRAMES)
    except UserError:
        return None
    return torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2) if frames else None


def _new_frames(run: Run, film: Film, given: Mapping[str, Any], first: bool) -> Tensor:
    """What the window has added, (3, F, H, W): a list's last entry, or a tensor's last frames."""
    tensor = given["tensor"]
    frames = tensor[0][:, film.taken :] if torch.is_tensor(tensor) else tensor[-1]
    if first and film.source is not None:
        times = round(given["fps"] / run.chain.fps)
        frames = frames[:, in_file(film.in_front, times) :]
    return frames


def _empty(film: Film, tensor: Any, for_sound: bool) -> None:
    """Lets go of the frames that WanGP holds: they are written.

    From 12 on they are a list. Before, they are one tensor, which the next window's frames are put
    behind: its last frame stays, in the same object. For sound they are counted once more there.
    """
    if not torch.is_tensor(tensor):
        if film.held is None:
            tensor.clear()
        return
    film.taken, whole = tensor.shape[2], tensor._base
    if whole is None or whole.shape != tensor.shape[1:]:
        return
    if film.held is None and not for_sound:
        with suppress(RuntimeError):  # one that PyTorch lets nobody change
            whole.data = whole[:, -1:].clone()
            film.taken = 1


# -- sound -----------------------------------------------------------------------------------------


def put_sound(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """WanGP puts the new sound behind the source's: it is told how long the source really is."""
    run = current()
    if run is None or run.film is None or not run.film.left_out:
        return original(*args, **kwargs)
    given = arguments(original, args, kwargs)
    seconds = given["source_audio_duration"] + run.film.left_out
    return original(**{**given, "source_audio_duration": seconds})


# -- the end ---------------------------------------------------------------------------------------


def end(run: Run) -> None:
    """The task has ended. A film that was stopped gets its final form, its settings with it."""
    film = run.film
    if film is None or film.writer is None:
        return
    images = film.wgp["server_config"].get("embed_source_images", False)
    try:
        if film.shown is not None and not images and film.writer.is_growing(film.shown):
            said = film.writer.finish(film.shown)
            if said is not None:
                say(said)
    except (UserError, OSError) as error:
        say(str(error))
    finally:
        film.writer.close()
        film.writer = None
