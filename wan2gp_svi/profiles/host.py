"""What a WanGP takes in a profile, read from its files with `ast`; nothing of it is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wan2gp_svi.errors import UserError
from wan2gp_svi.profiles.known import CUSTOM, SETTINGS, SOLVERS


@dataclass(frozen=True, slots=True)
class Takes:
    """The settings and solvers that a WanGP knows, and how it reads LoRA multipliers."""

    name: str = "WanGP from 9.3 to 12.60"
    settings: frozenset[str] = SETTINGS | {CUSTOM}
    solvers: tuple[str, ...] = SOLVERS
    short_multipliers: bool = False
    """In three phases "1;0" is read as high noise;low noise (10.0 on)."""


def takes(root: Path) -> Takes:
    """What the WanGP in `root` takes. Raises UserError where its files are not what they were."""
    wgp = _parse(root / "wgp.py")
    arguments = _arguments(wgp, "generate_media") or _arguments(wgp, "generate_video")
    if not arguments:
        raise UserError(f"{root / 'wgp.py'} has no generate_media and no generate_video.")
    parse = _arguments(_parse(root / "shared/utils/loras_mutipliers.py"), "parse_loras_multipliers")
    solvers = tuple(_solvers(_parse(root / "models/wan/wan_handler.py")))
    return Takes(
        f"the WanGP in {root}",
        frozenset(arguments) | {CUSTOM},
        solvers or SOLVERS,
        "model_switch_phase" in parse,
    )


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path} is not Python that can be read: {error}.") from error


def _arguments(module: ast.Module, function: str) -> list[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
    return []


def _solvers(module: ast.Module) -> Iterator[str]:
    """The values of the (label, value) pairs under a key "sample_solvers"."""
    for node in ast.walk(module):
        if not isinstance(node, ast.Dict):
            continue
        for key, value in zip(node.keys, node.values, strict=True):
            named = isinstance(key, ast.Constant) and key.value == "sample_solvers"
            if named and isinstance(value, ast.List):
                yield from (ast.literal_eval(pair)[1] for pair in value.elts)
