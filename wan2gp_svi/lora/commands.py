"""`wan2gp-svi lora inspect` and `wan2gp-svi lora convert`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from wan2gp_svi.errors import UserError
from wan2gp_svi.lora.convert import convert as convert_all
from wan2gp_svi.lora.inspect import inspect_file


def inspect(args: argparse.Namespace) -> int:
    """Print what a LoRA file is. `args`: file, json."""
    report = inspect_file(Path(args.file))
    print(json.dumps(report.as_dict(), indent=2) if args.json else report.as_text())
    return 0


def convert(args: argparse.Namespace) -> int:
    """Write a LoRA file, or a folder of them, as WanGP and ComfyUI read it.

    `args`: source, target, dtype. In a folder a bad file does not stop the others; then the exit
    code is 1.
    """
    written, failed = convert_all(Path(args.source), Path(args.target), args.dtype)
    for path in written:
        print(f"written: {path}")
    for why in failed.values():
        print(f"left out: {why}", file=sys.stderr)
    if failed:
        raise UserError(f"{len(failed)} of {len(failed) + len(written)} files were left out.", 1)
    return 0
