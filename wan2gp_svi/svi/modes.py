"""The members of the SVI family: what each hands from window to window, and the files it needs.

This is the one place that names a mode. Whoever else needs them (model types, profiles, checks)
derives them from `MODES`. Nothing here needs torch.

Sources: `test_svi.py`, `scripts/test/*.sh` and `inference_svi_2.0_pro.py` of
vita-epfl/Stable-Video-Infinity; arXiv 2510.09212; the files are those of vita-video-gen/svi-model
on Hugging Face.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mode:
    """One member of the family.

    `wan` is the version of Wan that its LoRAs were trained for. `motion_frames` N are carried over
    as pixels (0: the hand-over is in latents). `ref_pad_num` says how many frames behind them show
    the reference image: 0 none, -1 all. `ref_pad_cfg` lets the mask cover all motion frames.
    `prompt_repeat` windows share a prompt (0: the first serves them all). `guidance` is the
    authors', as are 50 denoising steps. `files` are its published LoRA files, without the ending.
    `skeleton`: a video of a skeleton moves the person (pose.py). `sound`: a face speaks what is
    heard. `fps` are its model's frames a second.
    """

    name: str
    wan: str
    motion_frames: int
    ref_pad_num: int = 0
    ref_pad_cfg: bool = False
    prompt_repeat: int = 1
    guidance: float = 5.0
    files: tuple[str, ...] = ()
    skeleton: bool = False
    sound: bool = False
    fps: float = 16.0

    @property
    def has_anchor(self) -> bool:
        """Whether a picture holds the look of all windows."""
        return not self.motion_frames or self.ref_pad_num != 0

    @property
    def in_place(self) -> bool:
        """Whether it tells the first latents of a window and nothing behind them.

        That can be told to a model without channels for y, too (Wan 2.2 5B): they stand in x.
        """
        return not (self.motion_frames and self.ref_pad_num) and not (self.skeleton or self.sound)


MODES = {
    "pro": Mode(
        "SVI 2.0 Pro",
        wan="2.2",
        motion_frames=0,
        files=(
            "version-2.0/SVI_Wan2.2-I2V-A14B_high_noise_lora_v2.0_pro",
            "version-2.0/SVI_Wan2.2-I2V-A14B_low_noise_lora_v2.0_pro",
        ),
    ),
    "2.0": Mode(
        "SVI 2.0 (Wan 2.2)",
        wan="2.2",
        motion_frames=1,
        ref_pad_num=-1,
        files=(
            "version-2.0/SVI_Wan2.2-I2V-A14B_high_noise_lora_v2.0",
            "version-2.0/SVI_Wan2.2-I2V-A14B_low_noise_lora_v2.0",
        ),
    ),
    "shot": Mode(
        "SVI-Shot",
        wan="2.1",
        motion_frames=1,
        ref_pad_num=-1,
        prompt_repeat=0,
        files=("version-1.0/svi-shot",),
    ),
    "film": Mode(
        "SVI-Film",
        wan="2.1",
        motion_frames=5,
        files=(
            "version-1.0/svi-film",
            "version-1.0/svi-film-opt-10212025",
            "version-1.0/svi-film-transitions",
        ),
    ),
    "tom": Mode("SVI-Tom", wan="2.1", motion_frames=1, files=("version-1.0/svi-tom",)),
    "unified": Mode(
        "SVI 2.0 Unified (Wan 2.1)",
        wan="2.1",
        motion_frames=5,
        ref_pad_num=-1,
        prompt_repeat=2,
        files=("version-2.0/SVI_Wan2.1-I2V-14B_lora_v2.0",),
    ),
    "dance": Mode(
        "SVI-Dance",
        wan="2.1",
        motion_frames=1,
        ref_pad_num=-1,
        guidance=2.0,
        files=("version-1.0/svi-dance",),
        skeleton=True,
    ),
    "talk": Mode(
        "SVI-Talk",
        wan="2.1 MultiTalk",
        motion_frames=1,
        ref_pad_num=-1,
        guidance=2.0,
        files=("version-1.0/svi-talk",),
        sound=True,
        fps=25.0,
    ),
}
PRO = MODES["pro"]
"""The mode that hands over latents."""
