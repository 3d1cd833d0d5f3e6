"""A private copy of WanGP's code: the user's folder is read, and nothing in it is run or written.

WanGP reads and writes whatever lies beside wgp.py as soon as it is imported (configuration,
settings, moved model files), and no version can be told not to; so it runs from a copy. Left out is
all that is the user's: configuration, settings, queue, finetunes but ours, LoRAs, models, outputs,
environments, other repositories; and files too large to be code.
"""

from __future__ import annotations

import shutil
from pathlib import Path

LARGEST = 4_000_000
"""Bytes; WanGP's largest file of code or data has 1.4 million."""
_FOLDERS = {
    *("settings", "outputs", "ckpts", "finetunes", "mask_outputs", "profiles_user"),
    *(".git", ".github", ".wan2gp_svi", ".venv", "venv", "env", "node_modules"),
}
_FILES = {"wgp_config.json", "queue.zip", "error_queue.zip", "resolutions.json", "startup.lock"}
_NO_CODE = {
    *(".safetensors", ".sft", ".pt", ".pth", ".ckpt", ".bin", ".gguf", ".onnx", ".zip", ".7z"),
    *(".mp4", ".mkv", ".mov", ".webm", ".avi", ".wav", ".mp3", ".flac", ".m4a"),
}
_OURS = "finetunes/i2v_2_2_svi2pro.json"


def copy(root: Path, target: Path) -> None:
    """Copy WanGP's code from `root` to the new folder `target`. Raises OSError."""

    def ignored(folder: str, names: list[str]) -> set[str]:
        top = Path(folder) == root
        return {name for name in names if _is_left_out(Path(folder, name), top)}

    shutil.copytree(root, target, ignore=ignored)
    (target / "finetunes").mkdir()
    if (root / _OURS).is_file():
        shutil.copyfile(root / _OURS, target / _OURS)


def _is_left_out(path: Path, top: bool) -> bool:
    if path.is_dir():
        if top and (path.name in _FOLDERS or path.name.startswith("loras")):
            return True
        # an environment of Python, and another repository, such as this project's own folder
        signs = ("pyvenv.cfg", "conda-meta", "python.exe", ".git")
        return any((path / sign).exists() for sign in signs) or path.name == ".git"
    if top and (path.name in _FILES or path.name.endswith("_settings.json")):
        return True
    if path.suffix.lower() in _NO_CODE or not path.is_file():
        return True
    return path.stat().st_size > LARGEST
