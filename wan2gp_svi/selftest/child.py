"""One pass of the self-test, in a process of its own with WanGP's Python: scenarios in, facts out.

    python -m wan2gp_svi.selftest.child --wangp DIR --out DIR [--cuda] [--bf16] [--without-svi]

Nothing here judges (checks.py does). WanGP's console goes to OUT/console.txt; standard output gets
a line for each step, for the progress that the user sees.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wan2gp_svi import __version__
from wan2gp_svi.selftest.scenarios import (
    LORA,
    LORA_RENAMED,
    SEED,
    WITH_SVI,
    WITHOUT_SVI,
    Scenario,
)

HOOKS = (
    *("attach_handler", "attach_pipeline", "attach_model", "attach_wgp"),
    *("conditioning", "window_frames", "window_saved"),
)
"""What the hooks in WanGP call (wan2gp_svi/wangp)."""


def whole(test: Pass) -> None:
    """The pass, from beginning to end."""
    test.start()
    test.make_all()


def main(argv: list[str] | None = None, work: Callable[[Pass], None] | None = None) -> None:
    """Run the pass, or `work` with it, and end the process: WanGP leaves threads behind."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--wangp", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--cuda", action="store_true")
    parser.add_argument("--bf16", action="store_true", help="only what is compared in 16 bits")
    parser.add_argument("--attention", default="sdpa")
    parser.add_argument("--without-svi", action="store_true")
    args = parser.parse_args(argv)
    args.wangp, args.out = args.wangp.resolve(), args.out.resolve()
    say = _steps(args.out / "console.txt")
    code = 0
    try:
        (work or whole)(Pass(args, say))
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _steps(console: Path):
    """Send what is printed to a file; the function that still reaches standard output."""
    steps = os.dup(1)
    file = os.open(console, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    for text in (sys.stdout, sys.stderr):
        text.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    return lambda text: os.write(steps, f"{text}\n".encode())


class Pass:
    """WanGP in this process, and what is found out about it."""

    def __init__(self, args: argparse.Namespace, say) -> None:
        self.args, self.say, self.out = args, say, args.out
        self.hooks: dict[str, int] = {}
        self.made: dict[str, dict] = {}
        self.videos: dict[str, str] = {}
        self.pipe: Any = None
        self.delivered: list[Any] = []
        self.host: dict[str, Any] = {}

    def start(self) -> None:
        """Start WanGP, with recorders."""
        from wan2gp_svi.selftest import host

        self.say("start")
        if not self.args.without_svi:
            self._count_hooks()
        self.wgp = host.start(
            self.args.wangp,
            cuda=self.args.cuda,
            attention=self.args.attention,
            without_svi=self.args.without_svi,
        )
        import torch

        from wan2gp_svi.selftest import tiny

        tiny.floats_are_copies()
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
        torch.set_grad_enabled(False)
        self.device = "cuda" if self.args.cuda else "cpu"
        self.dtype = torch.bfloat16 if self.args.bf16 else torch.float32
        self.host = {
            "extension": __version__,
            "wangp": str(self.wgp.WanGP_version),
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "device": torch.cuda.get_device_name() if self.args.cuda else "CPU",
            "attention": self.args.attention,
        }
        self._write()
        self.kept = host.no_offload(self.wgp)
        host.give_models(self.wgp, self._load_model)
        self._record_delivered()

    def make_all(self) -> None:
        """One scenario after the other; what is known is written after each."""
        for scenario in self._scenarios():
            self.say(scenario.title)
            try:
                self._make(scenario)
            except Exception as error:
                traceback.print_exc()
                name = type(error).__name__
                self.made[scenario.name] = {"ok": False, "error": f"{name}: {error}"}
            self._write()
        self.say("done")

    def _scenarios(self) -> tuple[Scenario, ...]:
        if self.args.without_svi:
            return WITHOUT_SVI
        return WITH_SVI[:1] if self.args.bf16 else WITH_SVI

    def _count_hooks(self) -> None:
        from wan2gp_svi import wangp as bridge

        def counted(name, function):
            @functools.wraps(function)
            def call(*args, **kwargs):
                self.hooks[name] += 1
                return function(*args, **kwargs)

            return call

        for name in HOOKS:
            self.hooks[name] = 0
            setattr(bridge, name, counted(name, getattr(bridge, name)))

    def _write(self) -> None:
        values = {"made": self.made, "hooks": self.hooks, "host": self.host}
        part = self.out / "facts.part"
        part.write_text(json.dumps(values), encoding="utf-8")
        part.replace(self.out / "facts.json")

    # -- stand-ins -----------------------------------------------------------------------------

    def _load_model(self, model_filename, model_type, base_model_type, model_def, *args, **kwargs):
        """In the place of the handler's: a tiny pipeline with recorders around it."""
        from wan2gp_svi.selftest import tiny
        from wan2gp_svi.selftest.recording import Recorder, count_encodes

        pipe = tiny.tiny_any2v(
            model_def,
            vae_dim=8,
            device=self.device,
            dtype=self.dtype,
            attention=self._attention(),
        )
        pipe.recorder = Recorder(pipe)
        count_encodes(pipe)
        recorded = pipe.generate

        def generate(*a, **k):
            pipe.encoded, pipe.encodings, pipe.seen, pipe.attended = [], [], [], None
            result = recorded(*a, **k)
            window = pipe.recorder.windows[-1]
            window.update(encodings=pipe.encodings, seen=pipe.seen, attended=pipe.attended)
            return result

        def attended(module, arguments, output):
            if pipe.attended is None:
                pipe.attended = output.clone()

        pipe.model.blocks[0].cross_attn.register_forward_hook(attended)
        pipe.generate = generate
        self.pipe = pipe
        modules = {"transformer": pipe.model, "transformer2": pipe.model2, "vae": pipe.vae.model}
        return pipe, modules

    def _attention(self) -> str:
        """The user's attention mode, where it is "auto" the one that WanGP would choose."""
        mode = self.args.attention
        return self.wgp.get_auto_attention() if mode == "auto" else mode

    def _record_delivered(self) -> None:
        """Keep the frames that went to the last video: all so far, or what was new to it.

        What is written is let go of (wangp/streaming.py): WanGP's list is then empty, its tensor
        has its last frame left.
        """
        import torch

        save_video = self.wgp.save_video
        left: int | None = None  # frames that WanGP still had of what it handed over before

        @functools.wraps(save_video)
        def save(*args, **kwargs):
            nonlocal left
            given: Any = kwargs.get("tensor", args[0] if args else None)
            if torch.is_tensor(given):
                frames = given[0].clone()
            else:
                frames = torch.cat([part.cpu() for part in given], dim=1)
            before = self.delivered if self.delivered and left is not None else []
            self.delivered = [*before, frames[:, left if before else 0 :]]
            result = save_video(*args, **kwargs)
            whole = given._base if torch.is_tensor(given) else None
            left = None
            if not torch.is_tensor(given):
                left = None if given else 0
            elif whole is not None and whole.shape[1] == 1 < frames.shape[1]:
                left = 1
            return result

        self.wgp.save_video = save

    # -- scenarios -----------------------------------------------------------------------------

    def _make(self, scenario: Scenario) -> None:
        import numpy as np

        from wan2gp_svi.selftest import host

        if scenario.real_offload:
            self._write_loras(scenario)
            host.real_offload(self.wgp, self.kept, self.dtype)
        else:
            host.no_offload(self.wgp)
        folder = self.out / scenario.name
        folder.mkdir()
        pictures = [host.picture(self.out, 1)]
        pictures += [host.picture(self.out, 50 + i) for i in range(scenario.anchors)]
        settings = host.settings_of(self.wgp, scenario.model, pictures[0])
        if scenario.anchors:
            settings.update(video_prompt_type="KI", image_refs=pictures[1:])
        if scenario.continues:
            del settings["image_start"]
            settings.update(image_prompt_type="V", video_source=self.videos[scenario.continues])
        if scenario.loras:
            settings.update(activated_loras=list(scenario.loras), loras_multipliers="1")
        settings.update(scenario.set)
        self.wgp.server_config.update(metadata_type="metadata", keep_intermediate_sliding_windows=1)
        host.saves_in(self.wgp, folder)
        self.pipe, self.delivered = None, []
        file = self.out / f"{scenario.name} settings.json"
        ok, error = host.run(self.wgp, settings, file, host.new_state())
        windows = self.pipe.recorder.windows if self.pipe is not None else []
        video = max(folder.glob("*.mp4"), key=lambda path: path.stat().st_mtime_ns, default=None)
        if video:
            self.videos[scenario.name] = str(video)
        arrays = self._arrays(windows)
        for i, picture in enumerate(pictures):
            arrays[f"anchor{i}"] = _pixels(picture)
        np.savez(self.out / f"{scenario.name}.npz", **arrays)
        self.made[scenario.name] = {
            "ok": ok and bool(windows),
            "error": error,
            "windows": len(windows),
            "frames": _frames_in(video) if video else 0,
            "prompts": [str(window["kwargs"].get("input_prompt")) for window in windows],
        }

    def _arrays(self, windows: list[dict]) -> dict[str, Any]:
        import torch

        arrays: dict[str, Any] = {}
        for k, window in enumerate(windows, 1):
            for name in ("y", "noise", "latents"):
                if torch.is_tensor(window.get(name)):
                    arrays[f"{name}{k}"] = _array(window[name])
            if torch.is_tensor(window.get("noise")):
                generator = torch.Generator(self.device).manual_seed(SEED + 42 * (k - 1))
                shape = tuple(window["noise"].shape)
                noise = torch.randn(shape, generator=generator, device=self.device)
                arrays[f"torch{k}"] = _array(noise.to(window["noise"].dtype))
            if torch.is_tensor(window.get("decoded")):
                arrays[f"decoded{k}"] = _bytes(window["decoded"])
            if torch.is_tensor(window.get("attended")):
                arrays[f"attended{k}"] = _array(window["attended"][0])
            for i, (seen, encoding) in enumerate(
                zip(window["seen"], window["encodings"], strict=True)
            ):
                arrays[f"seen{k}_{i}"], arrays[f"encoding{k}_{i}"] = _array(seen), _array(encoding)
        if self.delivered:
            arrays["delivered"] = _bytes(torch.cat([p.cpu() for p in self.delivered], dim=1))
        return arrays

    def _write_loras(self, scenario: Scenario) -> None:
        """A small LoRA on the text attention of every block, in both spellings."""
        import torch
        from safetensors.torch import save_file

        model_def = self.wgp.get_model_def(scenario.model)
        folder = Path(self.wgp.get_lora_dir(scenario.model)) if model_def else Path("loras")
        folder.mkdir(parents=True, exist_ok=True)
        spellings = {
            LORA: "pipe.dit.{}.lora_{}.default.weight",
            LORA_RENAMED: "diffusion_model.{}.lora_{}.weight",
        }
        for file, spelling in spellings.items():
            generator = torch.Generator().manual_seed(3)
            tensors = {}
            for block in range(2):
                for layer in ("self_attn.q", "cross_attn.k", "ffn.0"):
                    for side, shape in (("A", (4, 256)), ("B", (256, 4))):
                        name = spelling.format(f"blocks.{block}.{layer}", side)
                        tensors[name] = torch.randn(shape, generator=generator) * 0.2
            save_file(tensors, folder / file)


def _array(tensor):
    return tensor.detach().float().cpu().numpy()


def _bytes(frames):
    """(3, F, H, W) as 0..255, from uint8 or from -1..1."""
    import torch

    if frames.dtype == torch.uint8:
        return frames.float().cpu().numpy()
    return frames.detach().float().clamp(-1, 1).add(1).mul(127.5).cpu().numpy()


def _pixels(path: str):
    """A picture (3, H, W), -1..1."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        values = np.asarray(image.convert("RGB"), dtype=np.float32)
    return (values / 127.5 - 1).transpose(2, 0, 1)


def _frames_in(video: Path) -> int:
    """Frames that can be read from a video file."""
    import cv2

    reader, count = cv2.VideoCapture(str(video)), 0
    while reader.grab():
        count += 1
    reader.release()
    return count


if __name__ == "__main__":
    main()
