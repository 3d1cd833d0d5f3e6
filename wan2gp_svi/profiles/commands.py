"""`wan2gp-svi profiles list` and `check`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.installer.payload import source_folder
from wan2gp_svi.profiles.check import mistakes
from wan2gp_svi.profiles.host import Takes, takes
from wan2gp_svi.profiles.known import CUSTOM, LORAS
from wan2gp_svi.profiles.passes import PASSES_OF_50_STEPS, passes
from wan2gp_svi.wangp.names import FOLDERS, MODELS


def source() -> Path:
    """The folder profiles/ of this project, or the copy of it that is inside WanGP."""
    return source_folder() / "profiles"


def profile_files(folder: Path) -> list[Path]:
    """The profiles below profiles/, in the order in which WanGP's dropdown lists them."""
    return sorted(
        folder.glob("profiles/*/*.json"),
        key=lambda path: (
            (list(FOLDERS).index(path.parent.name), path.name)
            if path.parent.name in FOLDERS
            else (len(FOLDERS), path.name)
        ),
    )


def table(args: argparse.Namespace) -> int:
    """`profiles list`: name, model, steps, accelerator and time of each profile."""
    rows = [describe(path) for path in profile_files(source())]
    if args.json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return 0
    width = max(len(row["name"]) for row in rows)
    print(f"{'profile':{width}}  {'steps':>5}  {'accelerator':<11}  {'passes':>6}  time")
    model = None
    for row in rows:
        if row["model"] != model:
            model = row["model"]
            print(f"\n{model}")
        print(
            f"{row['name']:{width}}  {row['steps']:>5}  {row['accelerator'] or '-':<11}"
            f"  {row['passes']:>6}  {row['relative_time']:.0%}"
        )
    print("\npasses: through the model for a window. time: that of 50 steps with guidance is 100%.")
    return 0


def describe(path: Path) -> dict[str, Any]:
    """What the table says of a profile. Raises UserError for one that cannot be read."""
    try:
        profile = json.loads(path.read_text(encoding="utf-8"))
        loras = [LORAS[address] for address in profile["activated_loras"] if address in LORAS]
        model_type = FOLDERS[path.parent.name]
        number = passes(profile)
        return {
            "name": path.stem,
            "file": f"profiles/{path.parent.name}/{path.name}",
            "model": MODELS[model_type].name,
            "model_type": model_type,
            "mode": profile.get(CUSTOM, {}).get("svi_mode", MODELS[model_type].own),
            "steps": profile["num_inference_steps"],
            "accelerator": _accelerator(path.stem, [lora.accelerator for lora in loras]),
            "passes": number,
            "relative_time": number / PASSES_OF_50_STEPS,
            "help": profile["help"],
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"The profile {path} cannot be listed ({error!r}); `wan2gp-svi profiles check` says"
            " what is wrong."
        ) from error


def _accelerator(name: str, accelerators: list[str]) -> str:
    """One LoRA serves under two names (lightx2v's for low noise is Lightning's): the title's."""
    found = sorted({accelerator for accelerator in accelerators if accelerator})
    return next((known for known in ("lightx2v", *found) if known in name and found), "")


def _named(file: str) -> Path:
    path = Path(file)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there"
        raise UserError(f"{path} {what}: name a profile or settings file of WanGP (.json).")
    return path


def check(args: argparse.Namespace) -> int:
    """`profiles check`: every mistake in a line; exit code 2 when there is one."""
    host = takes(Path(args.wangp)) if args.wangp else Takes()
    ours = not args.files
    if ours:
        folder = source()
        files = [*profile_files(folder), *sorted(folder.glob("finetunes/*.json"))]
    else:
        files = [_named(file) for file in args.files]
    found = [mistake for file in files for mistake in mistakes(file, host, ours)]
    if args.json:
        result = {
            "against": host.name,
            "checked": len(files),
            "mistakes": [mistake.as_json() for mistake in found],
        }
        print(json.dumps(result, indent=1, ensure_ascii=False))
    else:
        for mistake in found:
            print(mistake)
        said = {0: "no mistake", 1: "1 mistake"}.get(len(found), f"{len(found)} mistakes")
        print(f"{len(files)} files checked against {host.name}: {said}")
    return 2 if found else 0
