"""Run scenarios through the real wgp.py (settings, queue, windows, mp4) with tiny models.

    python drive.py --wangp DIR --out DIR SCENARIOS.json

A scenario is {"name", "set": {setting: value, ...}} and, all optional,
    "model"      model type, default i2v_2_2_svi2pro
    "anchors"    number of anchor images (their pictures differ)
    "ends"       number of end images
    "folder"     where it saves, below OUT; default its name
    "picture"    [width, height] of the start image, default 64x64
    "continue"   name of an earlier scenario whose video is continued ("V"); "last": true for "L"
    "extra"      {"2": 1}: while window 2 runs, one more window is asked for
    "config"     entries of WanGP's configuration, such as {"metadata_type": "json"}
    "profiles"   profiles applied before, as paths under profiles/; the last one's settings hold
    "list"       model types whose dropdown is to be listed
    "fake"       true: no transformer, no VAE; frames are counted, not looked at
    "half"       true: the VAE runs in 16 bits, WanGP's default (else in 32)
    "words"      true: no start image
    "tokens"     true: the patches that each pass begins with are recorded, and what they came from
    "api"        true: through WanGP's Python API instead of its command line (10.987 on)
    "full"       true: the disk is full whenever a video has just been written (root, Linux)
Results: OUT/results.json, and OUT/<name>.npz with y, noise, latents, frames of each window.
"""

import argparse
import contextlib
import functools
import io
import json
import os
import resource
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--wangp", required=True)
parser.add_argument("--out", required=True)
parser.add_argument("scenarios", nargs="?")
parser.add_argument("--serve", type=int, metavar="PORT", help="the real page instead of scenarios")
args = parser.parse_args()
OUT = Path(args.out).resolve()
OUT.mkdir(parents=True, exist_ok=True)
scenarios = json.loads(Path(args.scenarios).read_text()) if args.scenarios else []
here = Path(__file__).resolve().parent
sys.path += [str(here), str(here.parents[2])]  # the package in WanGP's folder comes first
sys.path.insert(0, args.wangp)
from wan2gp_svi.selftest import host, tiny  # noqa: E402
from wan2gp_svi.selftest.recording import Recorder, count_encodes  # noqa: E402

bare = not (Path(args.wangp) / "wan2gp_svi" / "wangp").is_dir()
wgp = host.start(args.wangp, without_svi=bare)
host.no_offload(wgp)
import profile_page  # noqa: E402
import tiny_5b  # noqa: E402
import torch  # noqa: E402

gen = {}
scenario = {}
pipes = {}


def load_model(model_filename, model_type, base_model_type, model_def, *a, **k):
    """Stands in for the handler's: a tiny pipeline, with a recorder around its generate()."""
    text_only = not model_def.get("i2v_class")
    kind = {"model_type": "t2v", "in_dim": 16} if text_only else {}
    hears_clip = base_model_type in ("i2v", "fun_inp", "multitalk")
    if hears_clip:
        kind = {"model_type": "i2v", "two_models": False}
    if base_model_type == "multitalk":
        kind["multitalk_output_dim"] = 768
    if model_def.get("wan_5B_class"):
        kind = {**tiny_5b.TRANSFORMER, "two_models": False}
    pipe = tiny.tiny_any2v(model_def, **kind)
    if model_def.get("wan_5B_class"):
        tiny_5b.give_vae(pipe)
    if hears_clip:
        pipe.clip = Clip()
    if scenario.get("half"):
        pipe.VAE_dtype = pipe.vae.dtype = torch.float16
        pipe.vae.model.half()
        pipe.vae.model._model_dtype = torch.float16
        pipe.vae.scale = [values.half() for values in pipe.vae.scale]
    pipe.recorder = Recorder(pipe)
    pipes["last"] = pipe
    count_encodes(pipe)
    show_colour_reference(pipe)
    record_texts(pipe)
    time_transformer(pipe)
    if scenario.get("tokens"):
        record_patches(pipe)
    if scenario.get("fake"):
        make_fake(pipe)
    modules = {"transformer": pipe.model, "vae": pipe.vae.model}
    if pipe.model2 is not None:
        modules["transformer2"] = pipe.model2
    recorded = pipe.generate

    def generate(*a, **k):
        pipe.encoded, pipe.encodings, pipe.seen, pipe.reference = [], [], [], None
        pipe.texts, pipe.in_transformer = [], 0.0
        pipe.plain, pipe.patched = [], []
        extra = scenario.get("extra", {}).get(str(k.get("window_no")), 0)
        gen["extra_windows"] = gen.get("extra_windows", 0) + extra
        result = recorded(*a, **k)
        heard = k.get("audio_proj")
        pipe.recorder.windows[-1]["heard"] = [] if heard is None else heard
        pipe.recorder.windows[-1]["encoded"] = pipe.encoded
        pipe.recorder.windows[-1]["encodings"] = pipe.encodings
        pipe.recorder.windows[-1]["seen"] = pipe.seen
        pipe.recorder.windows[-1]["text"] = pipe.texts
        pipe.recorder.windows[-1]["plain"] = pipe.plain
        pipe.recorder.windows[-1]["patched"] = pipe.patched
        pipe.recorder.windows[-1]["transformer"] = round(pipe.in_transformer, 4)
        pipe.recorder.windows[-1]["reference"] = pipe.reference
        pipe.recorder.windows[-1]["loras"] = getattr(pipe.model, "_loras_scaling", {})
        pipe.recorder.windows[-1]["status"] = [gen.get("window_no"), gen.get("total_windows")]
        if scenario.get("forget"):  # memory is measured
            pipe.recorder.windows.clear()
            pipe.recorder.cur = None
        return result

    pipe.generate = generate
    return pipe, modules


def numbered_sound():
    """In the place of MultiTalk's wav2vec: what it makes of a frame's sound is that frame's number.

    But for its first value, which is how loud it is.
    """
    # What reads texts aloud and what cleans voices need packages of their own, and do not matter.
    names = {"kokoro": "KPipeline", "extract_vocals": "get_vocals", "audio_separator": ""}
    for module, name in names.items():
        sys.modules[f"preprocessing.{module}"] = types.SimpleNamespace(**{name or "none": None})
    from models.wan.multitalk import multitalk

    def embedding(speech, extractor, encoder, sr=16000, device="cpu", fps=25):
        count = int(len(speech) / sr * fps)
        found = torch.arange(count).float().view(-1, 1, 1).repeat(1, 12, 768)
        for frame in range(count):
            part = speech[int(frame * sr / fps) : int((frame + 1) * sr / fps)]
            found[frame, :, 0] = float(np.abs(part).mean())
        return found

    multitalk.get_embedding = embedding
    multitalk.custom_init = lambda *a: (None, None)
    multitalk.fl.locate_folder = lambda *a, **k: ""


class Clip:
    """In the place of Wan 2.1's CLIP: what it is shown decides its tokens."""

    class model:
        image_size = 32

    def visual(self, frames):
        pipes["last"].clip_saw = frames[0][:, 0].clone()
        seed = int(frames[0].double().sum().abs().item() * 1000) % 2**31
        return torch.randn(1, 257, 1280, generator=torch.Generator().manual_seed(seed)) * 0.1


def time_transformer(pipe):
    """Seconds spent in the transformer, so that what is around it can be told."""

    def before(*a):
        pipe.entered = time.perf_counter()

    def after(*a):
        pipe.in_transformer += time.perf_counter() - pipe.entered

    for model in (pipe.model, pipe.model2):
        if model is not None:
            model.register_forward_pre_hook(before)
            model.register_forward_hook(after)


def record_patches(pipe):
    """In each pass: what the patch embedding makes, and what the first block is given."""
    pipe.model.patch_embedding.register_forward_hook(
        lambda module, given, made: pipe.plain.append(made[0].clone())
    )
    pipe.model.blocks[0].register_forward_pre_hook(
        lambda module, given: pipe.patched.append(given[0][0].clone())
    )


def record_texts(pipe):
    """The texts that are encoded, or taken from WanGP's cache of encoded ones."""
    owner, name = pipe, "text_encoder"
    if pipe.text_encoder_cache is not None:
        owner, name = pipe.text_encoder_cache, "encode"
    real = getattr(owner, name)

    def encode(*a, **k):
        prompts = a[0] if name == "text_encoder" else a[1]
        pipe.texts += prompts
        return real(*a, **k)

    setattr(owner, name, encode)


def show_colour_reference(pipe):
    """Record the frame that colours are matched with."""
    module = sys.modules[type(pipe).__module__]
    real = getattr(module.match_and_blend_colors, "real", module.match_and_blend_colors)

    def match(videos, reference, *a, **k):
        pipe.reference = reference[0].float().clone()
        return real(videos, reference, *a, **k)

    match.real = real
    module.match_and_blend_colors = match


def make_fake(pipe):
    """Right shapes and nothing else: what is counted is frames."""
    stride = pipe.vae_stride[1]
    channels = 48 if stride == 16 else 16

    def encode(x, *a, **k):
        pipe.encoded.append(int(x.shape[2]))
        b, _, f, h, w = x.shape
        return torch.zeros(b, channels, (f - 1) // 4 + 1, h // stride, w // stride)

    def decode(zs, *a, **k):
        byte = hasattr(pipe.vae, "decode_to_cpu_uint8")
        dtype = torch.uint8 if byte else torch.float32
        return [
            torch.zeros(3, (t - 1) * 4 + 1, h * stride, w * stride, dtype=dtype)
            for _, t, h, w in (z.shape for z in zs)
        ]

    pipe.vae.model.encode = encode
    pipe.vae.decode = decode
    if hasattr(pipe.vae, "decode_to_cpu_uint8"):
        pipe.vae.decode_to_cpu_uint8 = decode
    for model in (pipe.model, pipe.model2):
        if model is not None:
            model.forward = lambda x, *a, **k: [torch.zeros_like(u) for u in x]


def watch_saves():
    """Record of every video saved: seconds, memory then, frames that were encoded for it."""
    import imageio

    saves, encoded = [], [0]
    real, real_writer = wgp.save_video, imageio.get_writer

    def get_writer(*a, **k):
        writer = real_writer(*a, **k)
        append = writer.append_data

        def append_data(*a, **k):
            encoded[0] += 1
            return append(*a, **k)

        writer.append_data = append_data
        return writer

    @functools.wraps(real)
    def save(*a, **k):
        encoded[0], began = 0, time.perf_counter()
        result = real(*a, **k)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident = round(pages * resource.getpagesize() / 1e6, 1)
        ended = time.perf_counter()
        saves.append(
            {
                "at": round(ended, 4),
                "seconds": round(ended - began, 4),
                "encoded": encoded[0],
                "resident_mb": resident,
            }
        )
        return result

    imageio.get_writer = get_writer
    wgp.save_video = save
    return saves


def between(sample, previous, kind, fps):
    """Stands in for RIFE, whose weights are not here: frames between two are their mean."""
    frames = sample if previous is None else torch.cat([previous.to(sample), sample], dim=1)
    values = frames.float()
    mixed = torch.stack([values[:, :-1], (values[:, :-1] + values[:, 1:]) / 2], dim=2)
    made = torch.cat([mixed.flatten(1, 2), values[:, -1:]], dim=1).to(sample.dtype)
    return (made if previous is None else made[:, 1:]), frames[:, -1:].clone(), fps * 2


wgp.perform_temporal_upsampling = between
if hasattr(wgp, "download_requested_postprocessing_assets"):
    wgp.download_requested_postprocessing_assets = lambda *a, **k: None
saves = watch_saves() if sys.platform == "linux" else []
torch.set_num_threads(int(os.environ.get("WANGP_THREADS", "2")))
host.give_models(wgp, load_model)


def answer_for_enhancer():
    """WanGP's prompt enhancer is on, and something stands in for its language model."""
    try:
        from shared.prompt_enhancer import prompt_enhance_utils as utils
    except ImportError:  # before 12
        from models.ltx_video.utils import prompt_enhance_utils as utils

    def answer(a, b, c, d, prompt, *more, prompt_enhancer_instructions=None, **known):
        count = int(prompt[0].split("of ")[1].split(" ")[0])
        if not str(prompt_enhancer_instructions).startswith("# Prompts for SVI"):
            return ["no guide"]
        lines = [f"A fox in window {k} (at 0.3 s: it turns)" for k in range(1, count + 1)]
        return ["<think>a fox</think>\n" + "\n\n".join(lines)]

    utils.generate_cinematic_prompt = answer
    wgp.enhancer_offloadobj = types.SimpleNamespace(unload_all=lambda: None, release=lambda: None)
    wgp.ensure_prompt_enhancer_loaded = lambda *a, **k: (None, None)
    wgp.server_config.update(enhancer_enabled=1, enhancer_mode=1)


def serve(port):
    """The real page, with tiny models behind Generate; returns when it is stopped."""
    import gradio.networking

    gradio.networking.url_ok = lambda url: True  # a busy machine answers it too late
    vars(wgp)["SAFE_MODE"] = False
    for name in ("save_path", "image_save_path"):
        setattr(wgp, name, str(OUT))
        wgp.server_config[name] = str(OUT)
    answer_for_enhancer()
    numbered_sound()
    page = wgp.create_ui()
    page.launch(server_name="127.0.0.1", server_port=port, allowed_paths=[str(OUT), "icons"])


if args.serve:
    serve(args.serve)
    os._exit(0)


def frames_in(path):
    probe = ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0"]
    probe += ["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", path]
    return int(subprocess.run(probe, capture_output=True, text=True).stdout.strip() or 0)


def comment_in(path):
    probe = ["ffprobe", "-v", "error", "-show_entries", "format_tags=comment", "-of", "json", path]
    out = json.loads(subprocess.run(probe, capture_output=True, text=True).stdout or "{}")
    text = out.get("format", {}).get("tags", {}).get("comment", "{}")
    return json.loads(text)


def through_api(settings, folder):
    """A task as other programs give it to WanGP: success, what went wrong, what was said."""
    from shared.api import init

    root = str(Path.cwd())
    session = init(root=root, output_dir=folder, cli_args=sys.argv[1:], console_output=False)
    job = session.submit_task(settings)
    lines = [event.data.text for event in job.events.iter() if event.kind == "stream"]
    result = job.result()
    return result.success, "; ".join(map(str, result.errors)), "\n".join(lines)


@contextlib.contextmanager
def full_disk(folder):
    """A small disk at `folder`, which is full from the end of each video's writing to the next."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    real, filler = wgp.save_video, folder / "filler"

    @functools.wraps(real)
    def save(*a, **k):
        filler.unlink(missing_ok=True)
        result = real(*a, **k)
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        return result

    wgp.save_video = save
    try:
        yield
        filler.unlink(missing_ok=True)
        kept = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
    finally:
        wgp.save_video = real
        subprocess.run(["umount", folder], check=True)
    for name, content in kept:
        (folder / name).write_bytes(content)


if any(scenario.get("model") == "multitalk" for scenario in scenarios):
    numbered_sound()
made = {}
results = []
for scenario in scenarios:
    folder = OUT / scenario.get("folder", scenario["name"])
    folder.mkdir(exist_ok=True)
    model = scenario.get("model", "i2v_2_2_svi2pro")
    text_only = "t2v" in model or scenario.get("words", False)
    size = tuple(scenario.get("picture", (64, 64)))
    settings = host.settings_of(wgp, model, None if text_only else host.picture(OUT, 1, size))
    if text_only:
        settings["video_length"] = 17
    anchors = scenario.get("anchors", 0)
    if anchors:
        settings["video_prompt_type"] = "KI"
        settings["image_refs"] = [host.picture(OUT, 50 + i) for i in range(anchors)]
    if scenario.get("ends"):
        settings["image_prompt_type"] += "E"
        settings["image_end"] = [host.picture(OUT, 90 + i) for i in range(scenario["ends"])]
    source = scenario.get("continue")
    if source:
        settings.pop("image_start")
        settings["image_prompt_type"] = "L" if scenario.get("last") else "V"
        if not scenario.get("last"):
            settings["video_source"] = made.get(source, source)
    page = {}
    if scenario.get("profiles"):
        page = profile_page.apply(wgp, model, scenario["profiles"])
        settings.update({k: v for k, v in page["settings"].items() if k != "help"})
    settings.update(scenario.get("set", {}))
    settings = {name: value for name, value in settings.items() if value is not None}
    wgp.server_config.update(metadata_type="metadata", keep_intermediate_sliding_windows=1)
    wgp.server_config.update(video_container="mp4", video_output_codec="libx264_8")
    wgp.server_config.update(scenario.get("config", {}))
    path = OUT / f"{scenario['name']} settings.json"
    host.saves_in(wgp, folder)
    state = host.new_state()
    gen = state["gen"]
    if source and scenario.get("last"):
        gen["file_list"] = [made.get(source, source)]
        gen["file_settings_list"] = [comment_in(made.get(source, source))]
    said = io.StringIO()
    saves.clear()
    began = time.time()
    pipes.clear()
    full = full_disk(folder) if scenario.get("full") else contextlib.nullcontext()
    with contextlib.redirect_stdout(said), full:
        if scenario.get("api"):
            wgp.reload_needed = True
            ok, error, lines = through_api(settings, folder)
            said.write(lines)
        else:
            ok, error = host.run(wgp, settings, path, state)
            ok = ok and " skipped)" not in said.getvalue()  # WanGP 9 calls that a success
    windows = pipes["last"].recorder.windows if pipes else []
    videos = sorted(folder.glob("*.mp4"), key=lambda p: (p.stat().st_mtime_ns, p.name))
    if videos:
        made[scenario["name"]] = str(videos[-1])
    arrays = {}
    for k, window in enumerate(windows, 1):
        for name in ("y", "noise", "latents", "frames", "reference"):
            if torch.is_tensor(window.get(name)) and not scenario.get("fake"):
                arrays[f"{name}{k}"] = window[name].numpy()
        for i, x in enumerate([] if scenario.get("fake") else window.get("x_in", [])):
            arrays[f"x{k}_{i}"] = x.numpy()
            arrays[f"t{k}_{i}"] = window["t_in"][i].numpy()
        for i, encoding in enumerate(window.get("encodings", [])):
            arrays[f"encoding{k}_{i}"] = encoding.numpy()
            arrays[f"seen{k}_{i}"] = window["seen"][i].numpy()
        for i, part in enumerate(window.get("heard", [])):
            arrays[f"heard{k}_{i}"] = part[..., :2].numpy()
        for name in ("plain", "patched"):
            for i, patches in enumerate(window.get(name, [])):
                arrays[f"{name}{k}_{i}"] = patches.numpy()
        if torch.is_tensor(window.get("y")):
            arrays[f"y{k}"] = window["y"].numpy()
    np.savez(OUT / f"{scenario['name']}.npz", **arrays)
    results.append(
        {
            "name": scenario["name"],
            "ok": ok,
            "error": str(error or ""),
            "seconds": round(time.time() - began, 2),
            "videos": [{"path": str(v), "frames": frames_in(str(v))} for v in videos],
            "saves": list(saves),
            "files": sorted(p.name for p in folder.iterdir()),
            "metadata": comment_in(str(videos[-1])) if videos else {},
            "version": wgp.WanGP_version,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "page": page,
            "listed": {m: profile_page.listed(wgp, m) for m in scenario.get("list", [])},
            "windows": [
                {
                    "prompt": w["kwargs"].get("input_prompt"),
                    "timesteps": w["timesteps"],
                    "seconds": round(w["seconds"], 3),
                    "encoded": w.get("encoded"),
                    "text": w.get("text"),
                    "transformer": w.get("transformer"),
                    "status": w.get("status"),
                    "dropped": (w.get("post_decode_pre_trim") or 0)
                    + (w["kwargs"].get("prefix_frames_count") or 0),
                    "loras": w.get("loras"),
                    "frames": int(w["frames"].shape[1]) if "frames" in w else 0,
                }
                for w in windows
            ],
            "said": said.getvalue(),
        }
    )
    (OUT / "results.json").write_text(json.dumps(results, indent=1))
    print(scenario["name"], "ok" if ok else "FAILED", results[-1]["seconds"], "s", flush=True)
sys.stdout.flush()
os._exit(0)
