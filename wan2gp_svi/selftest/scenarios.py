"""What the self-test lets WanGP generate. Small: windows of 17 frames, 64x64, two steps.

A scenario's `set` are WanGP's settings, on top of host.settings_of. `records` says what is kept of
it beside the latents: a scenario that is only compared needs no more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PRO, PLAIN = "i2v_2_2_svi2pro", "i2v_2_2"
SEED = 7
LORA, LORA_RENAMED = "selftest_authors.safetensors", "selftest_wangp.safetensors"
"""The same LoRA with the keys that the authors' files have, and with those that WanGP reads."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One task in WanGP's queue.

    `title` is what the user reads while it runs. `anchors`: how many anchor images, `continues`:
    the scenario whose video goes on, `loras`: files to switch on, at full strength. `real_offload`:
    through mmgp, as LoRAs are.
    """

    name: str
    title: str
    model: str = PRO
    set: dict[str, Any] = field(default_factory=dict)
    anchors: int = 0
    continues: str = ""
    loras: tuple[str, ...] = ()
    real_offload: bool = False


def _prompts(*prompts: str) -> dict[str, Any]:
    return {"prompt": "\n".join(prompts), "video_length": 17 + 12 * (len(prompts) - 1)}


def _lora(name: str, file: str, title: str) -> Scenario:
    settings = {"video_length": 17, "prompt": "one"}
    loras = (file,) if file else ()
    return Scenario(name, title, set=settings, loras=loras, real_offload=True)


WITH_SVI = (
    Scenario("four", "four windows in one go", anchors=2, set={"video_length": 53}),
    Scenario("two", "two windows", anchors=2, set={"video_length": 29}),
    Scenario(
        "continued",
        "two more windows, continued from the video",
        continues="two",
        set={"video_length": 25, "seed": -1, "prompt": "three\nfour"},
    ),
    Scenario("timed", "a timed prompt", set=_prompts("all", "all (at 0.25 s: two)")),
    Scenario("timed other", "other words in it", set=_prompts("all", "all (at 0.25 s: other)")),
    _lora("without lora", "", "no LoRA"),
    _lora("lora", LORA, "a LoRA in the authors' format"),
    _lora("lora renamed", LORA_RENAMED, "the same LoRA in WanGP's format"),
    Scenario("image", "Wan2.2 Image2video", model=PLAIN, set={"video_length": 33}),
)
"""With the extension, in this order: a video is continued after it was made."""

WITHOUT_SVI = (Scenario("image", "Wan2.2 Image2video", model=PLAIN, set={"video_length": 33}),)
"""With the extension switched off."""

TIMED_LATENTS = (3, 4)
"""The latents of window 2 that "at 0.25 s" steers: its new frames begin with frame 5, so 0.25 s at
16 frames a second is frame 9, the first of latent 3, and the window ends with latent 4."""
