"""The bridge: what the hooks in WanGP call, and the only place that knows WanGP's names.

    hook (patches/README.md)            calls               which
    wan_handler.py, end of module       attach_handler      handler.py: the model type, its settings
    any2video.py, end of module         attach_pipeline     pipeline.py: every window's generate()
    any2video.py, y is ready            conditioning        pipeline.py: puts SVI's y in its place
    modules/model.py, end of module     attach_model        loras.py, timed_prompts.py
    wgp.py, before it launches          attach_wgp          task.py: a run begins and ends; loop.py:
                                                            the plan; page.py: settings; dance.py,
                                                            talk.py; queueing.py: what is said early
    wgp.py, window_no += 1              window_frames       run.py: how long this window is
    wgp.py, metadata is ready           window_saved        continuing.py: what to remember of it

Everything stays silent for a model that is not SVI's. Modules are imported when a hook calls, so
that one that fails to import takes down its own feature and not WanGP, and the names here
(names.py, settings.py) can be had without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wan2gp_svi.wangp.console import say, say_once

if TYPE_CHECKING:
    from torch import Tensor

HOOKS = 1
"""Version of the hooks that this package works with; the patches pass theirs to `attach_...`."""


def _hooks_fit(hooks: int) -> bool:
    if hooks != HOOKS:
        age = "older" if hooks < HOOKS else "newer"
        say_once(
            f"The hooks in WanGP are {age} than the extension, which stays off. To mend it, run"
            " the extension's install script (install.bat or install.sh) again."
        )
    return hooks == HOOKS


def attach_handler(namespace: dict[str, Any], hooks: int = HOOKS) -> None:
    """End of models/wan/wan_handler.py; `namespace` is that module's globals()."""
    if _hooks_fit(hooks):
        from wan2gp_svi.wangp import handler

        handler.attach(namespace)


def attach_pipeline(namespace: dict[str, Any], hooks: int = HOOKS) -> None:
    """End of models/wan/any2video.py."""
    if _hooks_fit(hooks):
        from wan2gp_svi.wangp import pipeline

        pipeline.attach(namespace)


def attach_model(namespace: dict[str, Any], hooks: int = HOOKS) -> None:
    """End of models/wan/modules/model.py."""
    if _hooks_fit(hooks):
        from wan2gp_svi.wangp import loras, timed_prompts

        loras.attach(namespace)
        timed_prompts.attach(namespace)


def attach_wgp(namespace: dict[str, Any], hooks: int = HOOKS) -> None:
    """wgp.py, before its `if __name__ == "__main__"`."""
    if _hooks_fit(hooks):
        from wan2gp_svi.wangp import (
            continuing,
            dance,
            drafting,
            enabling,
            loop,
            page,
            phases,
            progress,
            queueing,
            streaming,
            talk,
            task,
        )

        parts = (task, loop, page, continuing, phases, streaming, queueing, enabling, dance, talk)
        for module in (*parts, progress, drafting):
            module.attach(namespace)


def conditioning(pipeline: Any, kwargs: dict[str, Any], overlap: Tensor | None) -> Tensor | None:
    """In WanAny2V.generate, when `kwargs["y"]` is set: SVI's y in its place.

    Returns what `extended_overlapped_latents` is to be: None for SVI, `overlap` for all others.
    """
    from wan2gp_svi.wangp.pipeline import hand_out_y

    return hand_out_y(pipeline, kwargs, overlap)


def window_frames(window_no: int, frames: int) -> int:
    """In WanGP's window loop: the frames of window `window_no`; `frames` where it is not SVI's."""
    from wan2gp_svi.wangp.run import current

    run = current()
    if run is None:
        return frames
    run.measured = window_no
    return run.host_frames(window_no)


def window_saved(video_path: str, configs: dict[str, Any]) -> None:
    """In WanGP's window loop, the video so far is saved and `configs` is about to be.

    The video is there whatever happens to the hand-over: nothing is raised.
    """
    from wan2gp_svi.wangp import continuing, page, progress
    from wan2gp_svi.wangp.run import current

    run = current()
    if run is not None:
        progress.window_saved(video_path)
        try:
            run.video, run.noted = video_path, run.window.number if run.window else 0
            page.add_settings(run, configs)
            continuing.remember(run, video_path, configs)
        except Exception as error:
            say(f"what continuing this video needs could not be saved: {error!r}")
