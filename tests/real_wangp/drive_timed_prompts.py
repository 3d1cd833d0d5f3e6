"""Run the real WanGP with tiny models under timed prompts; what is recorded goes into a file.

    python drive_timed_prompts.py WANGP_DIR OUT.pt

Started by test_timed_prompts.py in a process of its own, with WanGP's packages, because WanGP wants
to be the current folder. Nothing here judges: the tests do.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import types
from pathlib import Path

HERE = Path(__file__).resolve().parent
WANGP, OUT = (Path(argument).resolve() for argument in sys.argv[1:3])
sys.path[:0] = [str(WANGP), str(HERE.parents[1])]
os.chdir(WANGP)
sys.argv = sys.argv[:1]

from wan2gp_svi.selftest import cpu_shim, host  # noqa: E402

sys.path.append(str(host.ABSENT))
cpu_shim.install()

import torch  # noqa: E402
from PIL import Image  # noqa: E402

from wan2gp_svi.selftest import tiny  # noqa: E402
from wan2gp_svi.selftest.recording import Recorder  # noqa: E402
from wan2gp_svi.svi.prompts import TimedPrompt, parse  # noqa: E402
from wan2gp_svi.svi.schedule import prompts_for_windows, schedule  # noqa: E402
from wan2gp_svi.wangp import timed_prompts  # noqa: E402

torch.set_grad_enabled(False)
torch.set_num_threads(1)

FRAMES, SIZE, FPS, OVERLAP = 33, 32, 16, 4  # 9 latents of 2x2 patches
NATIVE = (WANGP / "defaults" / "i2v_2_2_svi2pro.json").exists()
MODEL_TYPE = "i2v_2_2_svi2pro" if NATIVE else "i2v_2_2"


def a_cache(kind: str) -> types.SimpleNamespace:
    """A step-skipping cache as wgp.py sets it up; the numbers make it skip steps here."""
    cache = types.SimpleNamespace(cache_type=kind, multiplier=2.0, start_step=1, num_steps=6)
    cache.previous_modulated_input, cache.skipped_steps = None, 0
    cache.accumulated_rel_l1_distance = 0
    cache.coefficients, cache.def_mag_ratios, cache.magcache_K = [0.05, 0.0], [0.99] * 10, 4
    return cache


def model_def() -> dict:
    """The model's definition as WanGP's own handler completes it."""
    from models.wan.wan_handler import family_handler

    path = WANGP / "defaults" / f"{MODEL_TYPE}.json"
    model = {"architecture": MODEL_TYPE}
    if path.exists():
        model = json.loads(path.read_text(encoding="utf-8"))["model"]
    model.setdefault("URLs2", "")
    return {**model, **(family_handler.query_model_def(model["architecture"], model) or {})}


class Bench:
    """A tiny pipeline; each window that it generates is recorded."""

    def __init__(self) -> None:
        self.pipe = tiny.tiny_any2v(model_def())
        self.start = (
            torch.rand(3, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 2 - 1
        )
        for decode in ("decode", "decode_to_cpu_uint8"):  # slow, and no picture is looked at here
            if hasattr(self.pipe.vae, decode):
                setattr(self.pipe.vae, decode, blank)
        self.recorder = Recorder(self.pipe)
        self.calls: list[tuple[str, int, torch.Tensor]] = []
        for name in ("model", "model2"):
            model = getattr(self.pipe, name)
            model.register_forward_pre_hook(self._begins(name), with_kwargs=True)
            model.blocks[0].cross_attn.register_forward_hook(self._attended)

    def _begins(self, name: str):
        def hook(module, args, kwargs):
            self.now = (name, kwargs.get("x_id", 0), len(kwargs["x"]))
            self.joint = 0

        return hook

    def _attended(self, module, args, output) -> None:
        name, x_id, streams = self.now
        self.calls.append((name, x_id if streams == 1 else self.joint, output.clone()))
        self.joint += 1

    def window(
        self,
        prompt: str | TimedPrompt,
        *,
        number: int = 1,
        overlapped: torch.Tensor | None = None,
        first_new_frame: int | None = None,
        **settings,
    ) -> dict:
        """One call of generate, under `timed` if `prompt` is a timed one.

        attended: output of the first block's cross-attention (1, 9*4, dim) in the first pass of
        each model, "model/prompt", "model/negative", "model2/prompt", ...; passes: how many
        times the first blocks ran; latents: the final ones (16, 9, 4, 4); slice: the last of them.
        """
        first = number == 1
        if first_new_frame is None:
            first_new_frame = 0 if first else OVERLAP + 1
        image = as_picture(self.start)
        arguments = {
            "input_video": self.start,
            "input_ref_images": [image] if NATIVE else None,
            "image_start": self.start[:, 0] if first else None,
            "prefix_video": self.start if first else None,
            "pre_video_frame": image,
            "frame_num": FRAMES, "height": SIZE, "width": SIZE, "shift": 5.0,
            "sample_solver": "euler", "sampling_steps": 2,
            "guide_scale": 1.0, "guide2_scale": 1.0, "guide_phases": 2,
            "switch_threshold": 900, "model_switch_phase": 1,
            "n_prompt": "bad", "seed": 5, "callback": lambda *a, **k: None,
            "VAE_tile_size": 0, "joint_pass": False, "cfg_star_switch": 0, "cfg_zero_step": -1,
            "overlapped_latents": overlapped, "return_latent_slice": slice(-1, None),
            "overlap_size": OVERLAP, "color_correction_strength": 0, "model_type": MODEL_TYPE,
            "loras_slists": {"phase1": [], "phase2": [], "phase3": [], "shared": []},
            "offloadobj": tiny.NullOffload(), "prefix_frames_count": 1 if first else OVERLAP,
            "window_no": number, "set_header_text": lambda text: None, "motion_amplitude": 1.0,
            "window_start_frame_no": 0, "image_mode": 0, "fps": FPS,
            "video_prompt_type": "KI" if NATIVE else "",
        }  # fmt: skip
        cache = settings.pop("cache", None)
        arguments.update(settings)
        self.pipe.model.cache = self.pipe.model2.cache = cache
        self.calls = []
        torch.manual_seed(5)
        if isinstance(prompt, TimedPrompt):
            segments = schedule(prompt, frames=FRAMES, first_new_frame=first_new_frame, fps=FPS)
            block = timed_prompts.timed(self.pipe, segments)
        else:
            block = contextlib.nullcontext(prompt)
        with block as words:
            result = self.pipe.generate(input_prompt=words, **arguments)
        seen: dict[str, torch.Tensor] = {}
        for name, x_id, output in self.calls:
            seen.setdefault(f"{name}/{'negative' if x_id else 'prompt'}", output)
        return {
            "attended": seen,
            "passes": len(self.calls),
            "latents": self.recorder.windows[-1]["latents"].clone(),
            "slice": result["latent_slice"].clone(),
        }

    def chain(
        self, prompts: list[str], windows: int = 3, after: list[dict] | None = None
    ) -> list[dict]:
        """Windows one after the other, each handing its last latent to the next; with `after`,
        each is handed what that chain's windows handed on."""
        spans, start = [], 0.0
        for window in range(windows):
            stop = start + (FRAMES if window == 0 else FRAMES - OVERLAP - 1) / FPS
            spans.append((start, stop))
            start = stop
        recorded: list[dict] = []
        for number, prompt in enumerate(prompts_for_windows(prompts, spans), start=1):
            before = (after or recorded)[number - 2]["slice"] if number > 1 else None
            recorded.append(self.window(prompt, number=number, overlapped=before))
        return recorded


def blank(latents, *args, **kwargs):
    """What the VAE decodes to, in shape."""
    _, frames, height, width = latents[0].shape
    return [torch.zeros(3, 4 * frames - 3, 8 * height, 8 * width) for _ in latents]


def as_picture(frame: torch.Tensor):
    return Image.fromarray(((frame[:, 0] + 1) * 127.5).byte().permute(1, 2, 0).numpy())


def wan21(texts: tuple[str, str, str]) -> dict[str, torch.Tensor]:
    """One pass of a tiny Wan 2.1 i2v model, CLIP tokens in front: first-block cross-attention.

    `texts`: what holds in latents 0-1, 2-4 and 5-6.
    """
    from mmgp import offload
    from models.wan.modules.model import WanModel

    model = WanModel(
        model_type="i2v", text_len=32, in_dim=36, out_dim=16, dim=256, ffn_dim=256,
        freq_dim=64, text_dim=64, num_heads=2, num_layers=2,
    )  # fmt: skip
    tiny.randomise(model, 77)
    model.lock_layers_dtypes(torch.float32)
    model.apply_post_init_changes()
    model = model.float().eval().requires_grad_(False)
    model.cache = None
    pipe = types.SimpleNamespace(
        model=model, model2=None, device=torch.device("cpu"), dtype=torch.float32,
        text_encoder=tiny.FakeTextEncoder(64), text_encoder_cache=None, _interrupt=False,
    )  # fmt: skip
    outputs: list[torch.Tensor] = []
    model.blocks[0].cross_attn.register_forward_hook(lambda *call: outputs.append(call[2].clone()))
    generator = torch.Generator().manual_seed(3)
    noise = [torch.randn(shape, generator=generator) for shape in
             ((1, 16, 7, 4, 4), (20, 7, 4, 4), (1, 257, 1280))]  # fmt: skip
    spans = ((0, 2), (2, 5), (5, 7))
    segments = [
        types.SimpleNamespace(words=text, first_latent=first, stop_latent=stop)
        for text, (first, stop) in zip(texts, spans, strict=True)
    ]
    freqs = rotary((7, 4, 4))
    offload.shared_state.update({"_nag_scale": 0, "_attention": "sdpa"})

    def context(prompt: str) -> torch.Tensor:
        tokens = pipe.text_encoder([prompt], "cpu")[0]
        return torch.cat([tokens, tokens.new_zeros(32 - len(tokens), 64)]).unsqueeze(0)

    with timed_prompts.timed(pipe, segments) as words:
        model(
            x=[noise[0].clone(), noise[0].clone()], t=torch.tensor([500.0]),
            context=[context(words), context("bad")], y=noise[1], clip_fea=noise[2], freqs=freqs,
            pipeline=pipe, x_id=0,
        )  # fmt: skip
    return {"prompt": outputs[0], "negative": outputs[1]}


def rotary(latents: tuple[int, int, int]):
    from models.wan.modules.posemb_layers import get_rotary_pos_embed

    return get_rotary_pos_embed(latents, enable_RIFLEx=False)


def main() -> None:
    bench = Bench()
    found: dict[str, object] = {}
    plain = {"cfg": {"guide_scale": 3.0, "guide2_scale": 3.0}, "nag": {"NAG_scale": 5.0}}
    for name, settings in plain.items():
        found[f"unattached/{name}"] = bench.window("all one", **settings)
    timed_prompts.attach(vars(sys.modules["models.wan.modules.model"]))
    timed_prompts.attach(vars(sys.modules["models.wan.modules.model"]))  # a second hook: no harm
    for name, settings in plain.items():
        found[f"attached/{name}"] = bench.window("all one", **settings)

    for words in ("all", "all one", "all two", "all three"):
        found[f"plain/{words}"] = bench.window(words)
    found["at 0"] = bench.window(parse("(at 0 s: all one)"))

    ways: dict[str, dict] = {
        "cfg 1": {},
        "separate": {"guide_scale": 3.0, "guide2_scale": 3.0},
        "joint": {"guide_scale": 3.0, "guide2_scale": 3.0, "joint_pass": True},
        "nag": {"NAG_scale": 5.0},
        "nag joint": {"NAG_scale": 5.0, "guide_scale": 3.0, "guide2_scale": 3.0,
                      "joint_pass": True},
        "low noise": {"switch_threshold": 1100},
        "tea": {"cache": "tea", "guide_scale": 3.0, "guide2_scale": 3.0, "sampling_steps": 6},
        "mag joint": {"cache": "mag", "guide_scale": 3.0, "guide2_scale": 3.0, "joint_pass": True,
                      "sampling_steps": 6},
    }  # fmt: skip
    for way, settings in ways.items():
        for middle in ("two", "other"):
            used = dict(settings)
            if "cache" in used:
                used["cache"] = a_cache(used["cache"])
            prompt = parse(f"all (at 0 s: one) (at 0.6 s: {middle}) (at 1.3 s: three)")
            found[f"{way}/{middle}"] = bench.window(prompt, **used)

    prompts = ["all", "all (at 0.5 s: two) (at 1 s: three)", "all (at 0.25 s: one) (at 1 s: two)"]
    found["chain"] = bench.chain(prompts)
    changed = [prompt.replace("two", "other") for prompt in prompts]
    found["chain/changed"] = bench.chain(changed, after=found["chain"])
    prompt = "all (at 1 s of video: one) (at 3 s of video: two)"
    found["video"] = bench.chain([prompt])
    found["video/changed"] = bench.chain([prompt.replace("two", "other")], after=found["video"])
    found["wan 2.1"] = {
        middle: wan21(("all", f"all {middle}", "all three")) for middle in ("two", "other")
    }
    torch.save(found, OUT)


main()
