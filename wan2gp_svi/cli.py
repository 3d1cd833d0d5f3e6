"""The command `wan2gp-svi`. Each command's work is imported only when it is asked for.

Exit codes: 0 done, 1 failed, 2 wrong usage or bad input; `status` has codes of its own.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import io
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from wan2gp_svi import __version__
from wan2gp_svi.errors import UserError


def _calls(module: str, function: str) -> Callable[[argparse.Namespace], int]:
    """A handler that imports `module` only when it runs: the installer must not need torch."""

    def run(args: argparse.Namespace) -> int:
        return getattr(importlib.import_module(module), function)(args)

    return run


def _add_installer(commands: argparse._SubParsersAction) -> None:
    helps = {
        "install": "put the hooks, the package and the profiles into WanGP",
        "uninstall": "take everything out again and leave WanGP as it was",
        "status": "0: installed and whole, 3: not installed, 4: damaged or lost to an update",
        "update": "update WanGP itself (git pull) and put the hooks in again",
    }
    for name, help_text in helps.items():
        command = commands.add_parser(name, help=help_text)
        command.add_argument("--wangp", metavar="DIR", help="WanGP's folder (else: looked for)")
        command.add_argument(
            "wangp", nargs="?", default=argparse.SUPPRESS, metavar="DIR", help="the same"
        )
        command.add_argument("--json", action="store_true", help="print the result as JSON")
        if name == "install":
            command.add_argument(
                "--dry-run", action="store_true", help="print the patch, change nothing"
            )
        command.set_defaults(run=_calls("wan2gp_svi.installer.commands", name))


def _add_demo(commands: argparse._SubParsersAction) -> None:
    demo = commands.add_parser("demo", help="make a chained video on a bare machine, no weights")
    demo.add_argument("--image", metavar="FILE", help="the start photo (default: a bundled one)")
    demo.add_argument("--frames", type=int, metavar="N", help="frames asked for")
    demo.add_argument("--window", type=int, metavar="W", help="frames of a window, 4k+1")
    demo.add_argument("--prompt", nargs="+", metavar="TEXT", help="one prompt a window")
    demo.add_argument("--seed", type=int, default=0, metavar="S", help="base seed (default 0)")
    demo.add_argument("--out", default="demo-output", metavar="DIR", help="where to write")
    demo.set_defaults(run=_calls("wan2gp_svi.demo.commands", "demo"))


def _add_plan(commands: argparse._SubParsersAction) -> None:
    plan = commands.add_parser("plan", help="show the windows of a video before it is made")
    plan.add_argument("--frames", type=int, required=True, metavar="N", help="frames asked for")
    plan.add_argument("--window", type=int, default=81, metavar="W", help="4k+1 (default 81)")
    plan.add_argument("--overlap", type=int, default=4, metavar="O", help="4n (default 4)")
    plan.add_argument(
        "--mode", default="pro", help="pro (default), 2.0, shot, film, tom, unified, dance, talk"
    )
    plan.add_argument("--fps", type=float, metavar="FPS", help="default 16, of SVI-Talk 25")
    plan.add_argument(
        "--prompts", metavar="FILE", help="the text of the page's prompt box: a prompt a window"
    )
    plan.add_argument("--seed", type=int, default=0, metavar="S", help="base seed (default 0)")
    plan.add_argument(
        "--seeds", default="new", metavar="HOW", help="new (default), same, or a list: '7, 49'"
    )
    plan.add_argument(
        "--anchors", type=int, default=0, metavar="N", help="anchor images given (default 0)"
    )
    plan.add_argument(
        "--schedule", default="", metavar="LIST", help="which anchor serves each window: '1, 1, 0'"
    )
    plan.add_argument("--exact", action="store_true", help="deliver the frames asked for, floored")
    plan.add_argument(
        "--wangp", metavar="DIR", help="whose way of parting prompts (else: looked for)"
    )
    plan.add_argument("--json", action="store_true", help="print the plan as JSON")
    plan.set_defaults(run=_calls("wan2gp_svi.report.commands", "plan"))


def _add_redo(commands: argparse._SubParsersAction) -> None:
    redo = commands.add_parser("redo", help="settings that make a window of a video again")
    redo.add_argument("video", metavar="VIDEO", help="a video made with SVI, its file beside it")
    redo.add_argument("--window", type=int, required=True, metavar="K", help="2, 3, ...")
    redo.add_argument("--seed", type=int, metavar="S", help="its seed (default: as it was)")
    redo.add_argument("--prompt", metavar="TEXT", help="its prompt (default: as it was)")
    redo.add_argument("--out", metavar="FILE", help="the settings file to write (.json)")
    redo.set_defaults(run=_calls("wan2gp_svi.wangp.commands", "redo"))


def _add_drift(commands: argparse._SubParsersAction) -> None:
    drift = commands.add_parser("drift", help="did a long video hold; where not, and what helps")
    drift.add_argument("video", metavar="VIDEO", help="any video; best one made with SVI")
    drift.add_argument("--window", type=int, metavar="W", help="frames (default: as it was made)")
    drift.add_argument("--json", metavar="FILE", help="write all that was measured")
    drift.add_argument("--plot", metavar="FILE.png", help="draw it, one glance")
    drift.set_defaults(run=_calls("wan2gp_svi.report.commands", "drift"))


def _add_lora(commands: argparse._SubParsersAction) -> None:
    lora = commands.add_parser("lora", help="look at LoRA files, or convert them for WanGP")
    actions = lora.add_subparsers(dest="action", metavar="ACTION", required=True)
    inspect = actions.add_parser(
        "inspect", help="say what a LoRA (or hand-over) file is, what it fits"
    )
    inspect.add_argument("file", metavar="FILE")
    inspect.add_argument("--json", action="store_true", help="print the findings as JSON")
    inspect.set_defaults(run=_calls("wan2gp_svi.report.commands", "inspect"))
    convert = actions.add_parser("convert", help="write it as WanGP and ComfyUI read it")
    convert.add_argument("source", metavar="IN", help="a .safetensors file, or a folder of them")
    convert.add_argument("target", metavar="OUT", help="the file (or folder) to write")
    convert.add_argument("--dtype", choices=("keep", "bf16", "fp16", "fp32"), default="keep")
    convert.set_defaults(run=_calls("wan2gp_svi.lora.commands", "convert"))


def _add_profiles(commands: argparse._SubParsersAction) -> None:
    profiles = commands.add_parser("profiles", help="the profiles for WanGP's dropdown")
    actions = profiles.add_subparsers(dest="action", metavar="ACTION", required=True)
    table = actions.add_parser("list", help="what there is, and how long each takes")
    table.add_argument("--json", action="store_true", help="print the list as JSON")
    table.set_defaults(run=_calls("wan2gp_svi.profiles.commands", "table"))
    check = actions.add_parser("check", help="is every profile right, and for your WanGP too")
    check.add_argument("files", nargs="*", metavar="FILE", help="profiles (default: all of ours)")
    check.add_argument("--wangp", metavar="DIR", help="the WanGP they are to fit (default: any)")
    check.add_argument("--json", action="store_true", help="print the findings as JSON")
    check.set_defaults(run=_calls("wan2gp_svi.profiles.commands", "check"))


def _add_train(commands: argparse._SubParsersAction) -> None:
    train = commands.add_parser("train", help="train SVI's LoRA, for a small Wan or a real one")
    actions = train.add_subparsers(dest="action", metavar="ACTION", required=True)
    base = actions.add_parser("base", help="the model itself; goes on where it was stopped")
    for phase, what in (
        ("shared", "before the experts part"),
        ("high", "of the high-noise expert"),
        ("low", "of the low-noise expert"),
    ):
        base.add_argument(f"--{phase}-steps", type=int, metavar="N", help=f"steps {what}")
    base.set_defaults(run=_calls("wan2gp_svi.train.commands", "base"))
    cache = actions.add_parser("cache", help="encode clips for a real Wan (docs/training.md)")
    cache.add_argument("--model", required=True, metavar="DIR", help="a Wan, as diffusers keeps it")
    cache.add_argument("--clips", required=True, metavar="DIR", help="clip.mp4 and clip.txt, ...")
    cache.add_argument("--mode", default="pro", metavar="MODE", help="pro (default), shot, ...")
    cache.add_argument("--size", default="832x480", metavar="WxH", help="default 832x480")
    cache.add_argument("--frames", type=int, default=81, metavar="W", help="4k+1 (default 81)")
    cache.add_argument("--fps", type=float, default=16, metavar="FPS", help="default 16")
    cache.set_defaults(run=_calls("wan2gp_svi.train.commands", "cache"))
    svi = actions.add_parser("svi", help="a LoRA by error recycling, of either expert")
    svi.add_argument("--base", metavar="DIR", help="a folder of train base (default: the bundled)")
    svi.add_argument("--model", metavar="DIR", help="a real Wan instead, as diffusers keeps it")
    svi.add_argument("--cache", metavar="DIR", help="its clips, a folder of train cache")
    svi.add_argument("--mode", metavar="MODE", help="pro (default), shot, ... (else: the cache's)")
    svi.add_argument("--expert", choices=("high", "low", "both"), default="both")
    svi.add_argument("--steps", type=int, metavar="N", help="steps of either expert")
    svi.add_argument("--batch", type=int, metavar="N", help="samples of a step")
    svi.add_argument("--rank", type=int, metavar="R", help="rank, which is also alpha")
    svi.add_argument("--errors", type=int, metavar="N", help="errors kept for each of 50 steps")
    svi.add_argument("--clean", type=float, metavar="P", help="samples without errors, 0 to 1")
    svi.add_argument(
        "--reference-only", action="store_true", help="errors in the condition alone (small models)"
    )
    svi.set_defaults(run=_calls("wan2gp_svi.train.commands", "svi"))
    evidence = actions.add_parser("evidence", help="measure long chains against the truth")
    ways = "a, b, c, d, e-..., unified, shot, film, tom, each with -plain, window, timed, scenes"
    evidence.add_argument("ways", nargs="+", metavar="WAY", help=ways)
    evidence.add_argument("--base", metavar="DIR", help="a folder of train base (default: ours)")
    evidence.add_argument("--lora", metavar="DIR", help="a folder of train svi (default: ours)")
    evidence.add_argument("--windows", type=int, default=50, metavar="K", help="default 50")
    evidence.add_argument("--scenes", type=int, default=16, metavar="N", help="default 16")
    evidence.set_defaults(run=_calls("wan2gp_svi.train.commands", "evidence"))
    for action in (base, cache, svi, evidence):
        action.add_argument("--out", required=True, metavar="DIR", help="where to write")
        if action in (base, svi):
            action.add_argument("--seed", type=int, default=0, metavar="S", help="default 0")
        action.add_argument("--threads", type=int, default=0, metavar="N", help="default: all")


def _add_selftest(commands: argparse._SubParsersAction) -> None:
    test = commands.add_parser("selftest", help="does SVI work in your WanGP, on this machine")
    test.add_argument("--wangp", metavar="DIR", help="WanGP's folder (else: looked for)")
    test.add_argument("--json", metavar="FILE", help="write the findings to a file")
    test.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    test.set_defaults(run=_calls("wan2gp_svi.selftest.commands", "selftest"))


def parser() -> argparse.ArgumentParser:
    """The whole command line; its names are fixed."""
    top = argparse.ArgumentParser(
        prog="wan2gp-svi",
        description="Stable Video Infinity for WanGP: long videos, no drift.",
        epilog="Put 'bash install.sh' (Windows: install.bat) before a command. Alone, or with only"
        " WanGP's folder behind it, it installs. 'COMMAND --help' shows a command's options.",
    )
    top.add_argument("--version", action="version", version=f"wan2gp-svi {__version__}")
    top.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_installer(commands)
    _add_selftest(commands)
    _add_demo(commands)
    _add_plan(commands)
    _add_redo(commands)
    _add_drift(commands)
    _add_lora(commands)
    _add_profiles(commands)
    _add_train(commands)
    return top


def _commands(top: argparse.ArgumentParser) -> Collection[str]:
    """The names of all commands, in the order of the help."""
    return next(a for a in top._actions if isinstance(a, argparse._SubParsersAction)).choices


def _typed(words: list[str], commands: Collection[str]) -> list[str]:
    """What was typed as argparse reads it: `help` is --help, WanGP's folder alone installs there.

    Raises UserError for a command that is not one.
    """
    if not words or words[0].startswith("-") or words[0] in commands:
        return words
    first, *rest = words
    if first in ("help", "/?"):
        return [*rest[:1], "--help"]
    if Path(first.strip(' "')).is_dir():
        return ["install", *words]
    near = difflib.get_close_matches(first, commands, 1)
    meant = f" Is {near[0]!r} meant?" if near else ""
    raise UserError(
        f"{first!r} is neither a command nor a folder.{meant} The commands are"
        f" {', '.join(commands)}; --help says what they do."
    )


def _say_every_letter() -> None:
    """A pipe or file gets UTF-8, whatever Windows' code page; a console what it can show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Errors are sentences, a traceback only on --debug."""
    _say_every_letter()
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments  # also behind the command's name
    top, command = parser(), "wan2gp-svi"
    try:
        words = _typed([a for a in arguments if a != "--debug"], _commands(top))
        args = top.parse_args(words)
        command = args.command
        return args.run(args)
    except UserError as error:
        if debug:
            raise
        print(f"wan2gp-svi: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("wan2gp-svi: stopped; nothing half-written is left", file=sys.stderr)
        return 1
    except Exception as error:
        if debug:
            raise
        how = "run again with --debug for the details"
        if isinstance(error, ModuleNotFoundError):
            how = "run it by install.bat or install.sh, which find WanGP's own Python"
        print(
            f"wan2gp-svi: {command} failed: {error or type(error).__name__} ({how})",
            file=sys.stderr,
        )
        return 1
