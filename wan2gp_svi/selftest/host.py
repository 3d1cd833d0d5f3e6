"""wgp.py, started without its page, with tiny models in the place of its own; a task through it.

Runs in a process of its own: WanGP wants to be the current folder, and reads `sys.argv`.
"""

import json
import os
import sys
from pathlib import Path

ABSENT = Path(__file__).parent / "absent"
"""Stand-ins for packages that WanGP imports and, on a CPU, can do without. Looked at last."""


def start(wangp, *, cuda=False, attention="sdpa", without_svi=False):
    """Import wgp.py of the folder `wangp`; its module.

    On a CPU `cpu_shim` lets it run. `without_svi`: the hooks find no bridge, as when the package
    was deleted, and WanGP runs as it came.
    """
    os.chdir(wangp)
    sys.path.insert(0, str(Path.cwd()))
    sys.argv = ["wgp.py", "--attention", attention]
    if without_svi:
        sys.modules["wan2gp_svi.wangp"] = None  # type: ignore[assignment]
    if not cuda:
        from wan2gp_svi.selftest import cpu_shim

        sys.path.append(str(ABSENT))
        cpu_shim.install()
    import wgp

    wgp.server_config["notification_sound_enabled"] = 0
    wgp.download_models = lambda *a, **k: None
    wgp.app = getattr(wgp, "app", None) or wgp.WAN2GPApplication()
    return wgp


def no_offload(wgp):
    """Models stay where they are, and no LoRA is loaded: for models too small for mmgp.

    Returns what was there, for `real_offload`.
    """
    from mmgp import offload

    from wan2gp_svi.selftest.tiny import NullOffload

    names = ("load_loras_into_model", "sync_models_loras", "unload_loras_from_model")
    kept = {name: getattr(offload, name) for name in names if hasattr(offload, name)}
    kept["profile"], kept["check_loras_exist"] = offload.profile, wgp.check_loras_exist
    offload.profile = lambda *a, **k: NullOffload()
    for name in names:
        setattr(offload, name, lambda *a, **k: None)
    wgp.check_loras_exist = lambda *a, **k: ""
    return kept


def real_offload(wgp, kept, dtype):
    """mmgp as it is, and the LoRAs that a task asks for; those of the model itself are left out.

    `kept`: what no_offload returned. `dtype`: of the models, which are not quantized.
    """
    from mmgp import offload

    def profile(modules, *args, **kwargs):
        kwargs.update(profile_no=5, convertWeightsFloatTo=dtype, pinnedMemory=False, verboseLevel=0)
        return kept["profile"](modules, *args, **kwargs)

    for name, function in kept.items():
        if name not in ("profile", "check_loras_exist"):
            setattr(offload, name, function)
    offload.profile = profile
    wgp.check_loras_exist = kept["check_loras_exist"]
    wgp.get_transformer_loras = lambda *a, **k: ([], [])


def give_models(wgp, load_model):
    """Let `load_model` answer for that of the handler of Wan's image models."""
    for handler in {id(h): h for h in wgp.model_types_handlers.values()}.values():
        if "i2v_2_2" in handler.query_supported_types():
            handler.load_model = staticmethod(load_model)


def settings_of(wgp, model, start_image=None):
    """The settings of a small task: four prompts, windows of 17 frames, 64x64, two steps."""
    has_paragraphs = "FW" in Path(wgp.__file__).read_text(encoding="utf-8")
    settings = {
        "settings_version": wgp.settings_version,
        "model_type": model,
        "prompt": "one\ntwo\nthree\nfour",
        "resolution": "64x64",
        "video_length": 41,
        "num_inference_steps": 2,
        "seed": 7,
        "sliding_window_size": 17,
        "sliding_window_overlap": 4 if "svi2pro" in model else 1,
        "sliding_window_color_correction_strength": 0,
        "sliding_window_overlap_noise": 0,
        "sliding_window_discard_last_frames": 0,
        "image_prompt_type": "S" if start_image else "",
        "guidance_scale": 1,
        "guidance2_scale": 1,
        "guidance_phases": 2,
        "switch_threshold": 900,
        "flow_shift": 5,
        "sample_solver": "euler",
        "multi_prompts_gen_type": "FW" if has_paragraphs else 1,
        "repeat_generation": 1,
        "mode": "",
    }
    if start_image:
        settings["image_start"] = [start_image]
    return settings


def new_state():
    """What WanGP keeps of a browser's session, with an empty queue."""
    gen = {"queue": [], "in_progress": False, "file_list": [], "file_settings_list": []}
    gen.update(audio_file_list=[], audio_file_settings_list=[], selected=0, audio_selected=0)
    gen.update(prompt_no=0, prompts_max=0, repeat_no=0, total_generation=1, window_no=0)
    gen.update(total_windows=0, progress_status="", process_status="process:main")
    return {"model_type": "", "edit_model_type": "", "gen": gen, "loras": []}


def saves_in(wgp, folder):
    """Let videos go into `folder`."""
    wgp.save_path = wgp.image_save_path = str(folder)
    wgp.server_config["save_path"] = wgp.server_config["image_save_path"] = str(folder)


def run(wgp, settings, file, state):
    """A task through WanGP's queue, as `--process` does it: done, and what went wrong.

    `settings` are written to `file`, a path ending in .json.
    """
    file.write_text(json.dumps(settings))
    wgp.reload_needed = True  # a fresh pipeline for every task
    queue, error = wgp._parse_settings_json(str(file), state)
    if error:
        return False, str(error)
    state["gen"]["queue"] = queue
    return bool(wgp.process_tasks_cli(queue, state)), ""


def picture(folder, seed, size=(64, 64)):
    """A picture of coloured noise in `folder`, always the same for the same seed; its path."""
    import numpy as np
    from PIL import Image

    base = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    path = folder / (f"picture{seed}.png" if size == (64, 64) else f"picture{seed} {size}.png")
    if not path.exists():
        Image.fromarray(base).resize(size, Image.Resampling.BICUBIC).save(path)
    return str(path)
