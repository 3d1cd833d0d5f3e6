"""What a hand-over file costs a window, beside what it saves: encoding the video's end again.

    python benchmarks/handover.py [--sizes 832x480 1280x720] [--vae]

Saving is what every window pays: the fingerprint of its last nine frames and the file, synced to
the disk. Loading and checking is what a continuation pays. Without a hand-over file it encodes the
last 33 frames instead (eight latents, of which the last is kept: the causal VAE looks back); --vae
measures that with Wan's VAE at its full size, from the package diffusers, with random weights: they
change what comes out, not how long it takes. A GPU is used where there is one.

Times are the least of 20 runs: by the clock, and (in brackets) of the processor, one thread; other
work on the machine adds to the first.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm import tqdm

from wan2gp_svi.svi.fingerprint import difference, fingerprint
from wan2gp_svi.svi.handover import HandOver
from wan2gp_svi.svi.handover_file import load, save
from wan2gp_svi.wangp.run import TAIL_CONTEXT

TAIL = 4 * (1 + TAIL_CONTEXT) + 1


def milliseconds(work: Callable[[], object], times: int = 20) -> str:
    """The least of `times` runs, after one that is not counted: clock (processor)."""
    work()
    clock, processor = [], []
    for _ in range(times):
        began, used = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - began)
        processor.append(time.process_time() - used)
    return f"{1000 * min(clock):6.1f} ({1000 * min(processor):.1f}) ms"


def a_handover(
    width: int, height: int, frames: torch.Tensor, vae: torch.dtype, anchors: bool
) -> HandOver:
    """`vae` is the type that anchors were encoded in; `anchors`: another than the start image."""
    start, other = torch.randn(2, 16, 1, height // 8, width // 8).to(vae).float()
    return HandOver(
        latents=torch.randn(16, 1, height // 8, width // 8),
        start_anchor=start,
        anchor=other if anchors else None,
        fingerprint=fingerprint(frames),
        width=width,
        height=height,
        fps=16,
        frames=157,
        windows=2,
        window_frames=81,
        motion_latents=1,
        base_seed=7,
        seeds_used=(7, 49),
        prompts=("A red car drives along the coast, waves break on the rocks below.",) * 2,
        model_type="i2v_2_2_svi2pro",
    )


def encode_seconds(width: int, height: int) -> tuple[str, float]:
    """One encode of the end of a video, with Wan's VAE at its full size."""
    from diffusers import AutoencoderKLWan

    device = "cuda" if torch.cuda.is_available() else "cpu"
    vae = AutoencoderKLWan().to(device).eval()
    video = torch.rand(1, 3, TAIL, height, width, device=device) * 2 - 1
    with torch.no_grad():
        vae.encode(video[:, :, :1, :64, :64])
        began = time.perf_counter()
        vae.encode(video).latent_dist.mode().cpu()
        return device, time.perf_counter() - began


def measure(width: int, height: int, vae: bool) -> str:
    frames = torch.randint(0, 256, (3, 81, height, width), dtype=torch.uint8)
    stored = fingerprint(frames)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.svi.safetensors"
        for dtype, anchors in itertools.product((torch.float16, torch.float32), (False, True)):
            handover = a_handover(width, height, frames, dtype, anchors)
            saving = milliseconds(lambda h=handover: save(h, file))
            loading = milliseconds(lambda: load(file))
            kind = f"VAE {8 * dtype.itemsize} bits, {'anchor image' if anchors else 'start image'}"
            rows.append(
                f"{width}x{height} {kind:26s} {file.stat().st_size:>9,} bytes,"
                f" save {saving}, load {loading}"
            )
    rows.append(
        f"{width}x{height} fingerprint {milliseconds(lambda: fingerprint(frames))},"
        f" compare {milliseconds(lambda: difference(stored, frames))}"
    )
    if vae:
        device, seconds = encode_seconds(width, height)
        rows.append(f"{width}x{height} encoding {TAIL} frames again, {device}: {seconds:.1f} s")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["832x480", "1280x720"])
    parser.add_argument("--vae", action="store_true", help="needs the package diffusers")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rows = []
    for size in tqdm(args.sizes):
        width, height = map(int, size.split("x"))
        rows.append(measure(width, height, args.vae))
    print("\n".join(rows))


if __name__ == "__main__":
    main()
