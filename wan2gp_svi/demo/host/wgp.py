"""A small application that makes videos window by window. Our own, with names that hooks look for.

    python wgp.py --process SETTINGS.json [--output-dir DIR]

SETTINGS.json holds one task or a list of tasks: keyword arguments of `generate_media`, with
`image_start` and `video_source` as file names, `image_refs` as a list of them.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from shared.media import (
    convert_image_to_tensor,
    convert_tensor_to_image,
    fit,
    open_image,
    read_video,
    save_video,
    video_info,
    write_metadata,
)
from shared.window_plan import build_default_window_plan, floor_frame_count
from tqdm import tqdm

WanGP_version = "0.1 (small host)"
settings_version = 1
save_path = "outputs"
lora_root = "loras"
family_handlers = ["models.wan.wan_handler"]
server_config = {"save_path": save_path}
wan_model = None
loaded_model_type = None
models_def: dict[str, dict] = {}


def map_family_handlers(names: list[str]) -> dict[str, Any]:
    """Model type -> the handler that supports it."""
    found: dict[str, Any] = {}
    for name in names:
        handler = importlib.import_module(name).family_handler
        found.update(dict.fromkeys(handler.query_supported_types(), handler))
    return found


model_types_handlers = map_family_handlers(family_handlers)


def init_model_def(model_type: str, model_def: dict) -> dict:
    """A definition from JSON, with what its handler knows of the architecture."""
    architecture = model_def.get("architecture", model_type)
    return {
        **model_types_handlers[architecture].query_model_def(architecture, model_def),
        **model_def,
    }


def refresh_model_defs() -> None:
    """Read `defaults/*.json`, then `finetunes/*.json`, merged model by model, key by key."""
    read: dict[str, dict] = {}
    for file in [
        *sorted(Path("defaults").glob("*.json")),
        *sorted(Path("finetunes").glob("*.json")),
    ]:
        content = json.loads(file.read_text(encoding="utf-8"))
        model = content.pop("model", {})
        kept = read.setdefault(file.stem, {"settings": {}})
        kept.update(model)
        kept["settings"] = {**kept["settings"], **content}
    models_def.clear()
    for model_type, model_def in read.items():
        if model_def.get("architecture", model_type) in model_types_handlers:
            models_def[model_type] = init_model_def(model_type, model_def)


def get_model_def(model_type: str) -> Any:
    """The definition of a model, None where there is none."""
    return models_def.get(model_type)


def get_base_model_type(model_type: str) -> str:
    model_def = get_model_def(model_type) or {}
    return model_def.get("architecture", model_type)


def get_model_handler(model_type: str) -> Any:
    return model_types_handlers[get_base_model_type(model_type)]


def get_default_settings(model_type: str) -> dict:
    """Every argument of `generate_media` that a task may leave out, for this model."""
    defaults = {
        name: p.default
        for name, p in inspect.signature(generate_media).parameters.items()
        if p.default is not inspect.Parameter.empty
    }
    model_def = get_model_def(model_type) or {}
    get_model_handler(model_type).update_default_settings(
        get_base_model_type(model_type), model_def, defaults
    )
    return {**defaults, **model_def.get("settings", {})}


def get_lora_dir(model_type: str) -> str:
    return str(Path(lora_root) / "wan")


def test_any_sliding_window(model_type: str) -> bool:
    return bool((get_model_def(model_type) or {}).get("sliding_window"))


def get_gen_info(state: dict) -> dict:
    return state.setdefault("gen", {"file_list": [], "file_settings_list": []})


def get_video_info(path: str) -> tuple[int, int, int, int]:
    """Frames a second, width, height and number of frames of a video."""
    return video_info(path)


def get_computed_fps(
    force_fps: str, base_model_type: str, video_guide: str | None, video_source: str | None
) -> int:
    """What was asked for, else that of the video continued, else the model's own."""
    if force_fps:
        return int(force_fps)
    if video_source is not None:
        return get_video_info(video_source)[0]
    return (get_model_def(base_model_type) or {}).get("fps", 16)


def preprocess_video(video_in: str, max_frames: int = 0) -> torch.Tensor:
    """The frames of a video, the first `max_frames` if given: (F, H, W, 3), uint8."""
    frames, _ = read_video(video_in)
    return frames.permute(1, 2, 3, 0)[: max_frames or None]


def set_seed(seed: int | None) -> int:
    """The seed itself, or a drawn one for None and -1; all generators start from it."""
    seed = random.randint(0, 999_999_999) if seed is None or seed < 0 else seed
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
    return seed


def load_models(model_type: str) -> Any:
    """The pipeline of a model type; kept for the next task."""
    global wan_model, loaded_model_type
    if loaded_model_type != model_type:
        model_def, base = get_model_def(model_type), get_base_model_type(model_type)
        handler = get_model_handler(model_type)
        wan_model, _ = handler.load_model(None, model_type, base, model_def)
        loaded_model_type = model_type
    return wan_model


def prepare_inputs_dict(target: str, inputs: dict, model_type: str | None = None) -> dict:
    """The arguments that can be written down: settings to keep with the video."""
    left_out = {"task", "send_cmd", "state", "plugin_data", "image_start", "image_end"}
    left_out |= {"image_refs", "video_source"}
    kept = {name: value for name, value in inputs.items() if name not in left_out}
    return {**kept, "model_type": model_type, "type": f"WanGP {WanGP_version}", "target": target,
            "settings_version": settings_version}  # fmt: skip


def record_file_metadata(video_path: str, configs: dict, gen: dict) -> None:
    """Put the settings into the video, and the video on the list of what was made."""
    write_metadata(video_path, configs)
    gen["file_list"].append(str(video_path))
    gen["file_settings_list"].append(configs)


def _picture(image: str | Path | Image.Image) -> Image.Image:
    return image if isinstance(image, Image.Image) else open_image(image)


class Progress:
    """The callback of the denoising steps: a bar that appears with step -1, before the first."""

    def __init__(self, text: str, steps: int) -> None:
        self.text, self.steps = text, steps
        self.bar: tqdm | None = None

    def __call__(self, step: int, latents: torch.Tensor | None, *_others, **_more) -> None:
        if self.bar is None:
            self.bar = tqdm(
                desc=self.text, total=self.steps, unit="step", file=sys.stdout, ncols=80
            )
        self.bar.update(step + 1 - self.bar.n)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def generate_media(
    task=None,
    send_cmd=print,
    image_mode=0,
    prompt="",
    negative_prompt="",
    resolution="256x256",
    video_length=33,
    seed=-1,
    force_fps="",
    num_inference_steps=6,
    guidance_scale=2.0,
    guidance2_scale=2.0,
    switch_threshold=900,
    flow_shift=5.0,
    multi_prompts_gen_type="PW",
    activated_loras=(),
    loras_multipliers="",
    image_prompt_type="S",
    image_start=None,
    image_end=None,
    video_source=None,
    keep_frames_video_source="",
    video_prompt_type="",
    video_guide=None,
    image_refs=None,
    motion_amplitude=1.0,
    sliding_window_size=33,
    sliding_window_overlap=1,
    sliding_window_color_correction_strength=0,
    sliding_window_discard_last_frames=0,
    custom_settings=None,
    output_filename="",
    state=None,
    model_type="i2v_2_2",
    mode="",
    plugin_data=None,
):
    """Make one video, window after window; each window saves the video so far. False if it failed.

    `prompt` has one prompt a line, one for each window, the last one for the rest.
    """
    inputs = dict(locals())
    gen = get_gen_info(state)
    model_def = get_model_def(model_type)
    base_model_type = get_base_model_type(model_type)
    wan_model = load_models(model_type)
    latent_size = frames_steps = model_def.get("frames_steps", 4)
    frames_minimum = model_def.get("frames_minimum", 5)
    sliding_window_defaults = model_def.get("sliding_window_defaults", {})

    loras = [*model_def.get("loras", []), *activated_loras]
    multipliers = [*model_def.get("loras_multipliers", []), *loras_multipliers.split()]
    lora_files = [Path(get_lora_dir(model_type)) / Path(lora).name for lora in loras]
    wan_model.set_loras(lora_files, " ".join(multipliers), base_model_type)

    prompts = [line.strip() for line in prompt.splitlines() if line.strip()] or [""]
    if "L" in image_prompt_type:
        video_source = gen["file_list"][-1] if gen["file_list"] else None
    prefix_video = None
    fps = get_computed_fps(force_fps, base_model_type, video_guide, video_source)
    width, height = (int(side) for side in resolution.split("x"))
    if video_source is not None:
        source = preprocess_video(video_source, int(keep_frames_video_source or 0))
        prefix_video = source.permute(3, 0, 1, 2)
        height, width = prefix_video.shape[-2:]
    elif image_start is not None:
        frame = convert_image_to_tensor(fit(_picture(image_start), height, width))
        prefix_video = frame[:, None]
    image_size = (height, width)
    image_end_tensor = None
    if image_end is not None:
        image_end_tensor = convert_image_to_tensor(fit(_picture(image_end), height, width))
    src_ref_images = None
    if image_refs and "I" in video_prompt_type:
        src_ref_images = [fit(_picture(image), height, width) for image in image_refs]

    video_length = floor_frame_count(video_length, frames_minimum, latent_size)
    sliding_window_size = floor_frame_count(sliding_window_size, frames_minimum, latent_size)
    current_video_length = video_length
    if video_source is not None:
        current_video_length += sliding_window_overlap - 1
    default_reuse_frames = min(sliding_window_size - latent_size, sliding_window_overlap)
    default_windows = build_default_window_plan(
        total_frames=current_video_length,
        window_size=sliding_window_size,
        default_overlap=default_reuse_frames,
        discard_last_frames=sliding_window_discard_last_frames,
        minimum=frames_minimum,
        step=frames_steps,
        frame_offset=1,
        overlap_offset=sliding_window_defaults.get("overlap_offset", 1),
        max_overlap=sliding_window_defaults.get("overlap_max"),
    )
    seed = set_seed(seed)

    Path(save_path).mkdir(parents=True, exist_ok=True)
    name = output_filename or f"{time.strftime('%Y-%m-%d-%Hh%Mm%Ss')}_seed{seed}"
    window_no, guide_start_frame = 0, 0
    source_video_overlap_frames_count = 0
    overlapped_latents = pre_video_guide = pre_video_frame = None
    frames_already_processed = None
    while window_no < len(default_windows):
        default_window = default_windows[window_no]
        reuse_frames = default_window["overlap_frames"]
        current_video_length = default_window["frame_num"]
        discard_last_frames = default_window["discard_last_frames"]
        trim_last_frames = default_window["trim_last_frames"]
        prompt = prompts[window_no] if window_no < len(prompts) else prompts[-1]
        sliding_window = len(default_windows) > 1
        window_no += 1
        gen.update(window_no=window_no, total_windows=len(default_windows))
        next_overlap_frames = (
            default_windows[window_no]["overlap_frames"]
            if window_no < len(default_windows)
            else default_reuse_frames
        )
        return_latent_slice = None
        if reuse_frames > 0:
            cut = (discard_last_frames + trim_last_frames) // latent_size
            first = max(1, reuse_frames // latent_size) + cut
            return_latent_slice = slice(-first, -cut or None)
        if window_no == 1 and prefix_video is not None:
            source_video_overlap_frames_count = min(prefix_video.shape[1], max(1, reuse_frames))
            if prefix_video.dtype == torch.uint8:
                prefix_video = prefix_video.float().div_(127.5).sub_(1)
            pre_video_guide = prefix_video[:, -source_video_overlap_frames_count:]
            pre_video_frame = convert_tensor_to_image(prefix_video[:, -1])
            guide_start_frame = prefix_video.shape[1]
        prefix_frames_count = source_video_overlap_frames_count if window_no == 1 else reuse_frames
        window_start_frame = guide_start_frame - prefix_frames_count

        progress = Progress(f"window {window_no}/{len(default_windows)}", num_inference_steps)
        samples = wan_model.generate(
            input_prompt=prompt,
            image_start=prefix_video[:, -1] if prefix_video is not None else None,
            image_end=image_end_tensor,
            input_ref_images=src_ref_images,
            input_video=pre_video_guide,
            prefix_frames_count=prefix_frames_count,
            frame_num=floor_frame_count(current_video_length, frames_minimum, latent_size),
            height=image_size[0],
            width=image_size[1],
            shift=flow_shift,
            sampling_steps=num_inference_steps,
            guide_scale=guidance_scale,
            guide2_scale=guidance2_scale,
            switch_threshold=switch_threshold,
            n_prompt=negative_prompt,
            seed=seed,
            callback=progress,
            overlapped_latents=overlapped_latents,
            return_latent_slice=return_latent_slice,
            overlap_size=reuse_frames,
            color_correction_strength=sliding_window_color_correction_strength,
            motion_amplitude=motion_amplitude,
            model_type=base_model_type,
            video_prompt_type=video_prompt_type,
            window_no=window_no,
            pre_video_frame=pre_video_frame,
            prefix_video=prefix_video,
            window_start_frame_no=window_start_frame,
            custom_settings=custom_settings or {},
            image_mode=image_mode,
            fps=fps,
        )
        progress.close()
        post_decode_pre_trim = 0
        if isinstance(samples, dict):
            overlapped_latents = samples.get("latent_slice")
            post_decode_pre_trim = samples.get("post_decode_pre_trim", 0)
            samples = samples.get("x")
        if samples is None:
            return False
        sample = samples
        stop_current_sample = sample.shape[1] < current_video_length
        sample = sample[:, post_decode_pre_trim:]
        if sliding_window:
            guide_start_frame += current_video_length - discard_last_frames - trim_last_frames
            sample = sample[:, : sample.shape[1] - discard_last_frames - trim_last_frames]
            if next_overlap_frames > 0:
                pre_video_guide = sample[:, -next_overlap_frames:].float().div_(127.5).sub_(1)
        if prefix_video is not None and window_no == 1:
            before = prefix_video.add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
            if before.shape[1] > 1:
                sample = sample[:, source_video_overlap_frames_count:]
            else:
                before = before[:, :-source_video_overlap_frames_count]
            sample = torch.cat([before, sample], dim=1)
            prefix_video = None
            guide_start_frame -= source_video_overlap_frames_count
        elif window_no > 1 and reuse_frames > 0:
            sample = sample[:, reuse_frames:]
            guide_start_frame -= reuse_frames
        if frames_already_processed is not None:
            sample = torch.cat([frames_already_processed, sample], dim=1)
        frames_already_processed = sample

        last = window_no == len(default_windows)
        file = f"{name}.mp4" if last else f"{name}_window{window_no}.mp4"
        video_path = str(Path(save_path) / file)
        save_video(sample, video_path, fps)
        configs = prepare_inputs_dict("metadata", inputs, model_type)
        configs["seed"] = seed
        if sliding_window:
            configs["window_no"] = window_no
        record_file_metadata(video_path, configs, gen)
        if stop_current_sample:
            return False
    return True


def process_tasks_cli(tasks: list[dict], state: dict) -> bool:
    """Check each task, fill in its model's defaults, make it; stops at the first that fails."""
    for task in tasks:
        model_type = task.get("model_type", "i2v_2_2")
        model_def = get_model_def(model_type)
        if model_def is None:
            print(f"There is no model '{model_type}'; there are: {', '.join(sorted(models_def))}")
            return False
        settings = {**get_default_settings(model_type), **task, "state": state, "task": task}
        known = inspect.signature(generate_media).parameters
        inputs = {name: value for name, value in settings.items() if name in known}
        error = get_model_handler(model_type).validate_generative_settings(
            get_base_model_type(model_type), model_def, inputs
        )
        if error:
            print(error)
            return False
        if not generate_media(**inputs):
            return False
    return True


refresh_model_defs()

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make videos from settings files.")
    parser.add_argument("--process", required=True, metavar="SETTINGS.json")
    parser.add_argument("--output-dir", default=save_path, metavar="DIR")
    args = parser.parse_args()
    torch.set_num_threads(1)  # the parts are too small for more: threads would wait for each other
    save_path = server_config["save_path"] = args.output_dir
    content = json.loads(Path(args.process).read_text(encoding="utf-8"))
    done = process_tasks_cli(content if isinstance(content, list) else [content], {})
    sys.exit(0 if done else 1)
