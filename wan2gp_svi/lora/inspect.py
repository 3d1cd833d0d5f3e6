"""What a LoRA file is: its format, the base model it fits, its strength, what WanGP does with it.

Everything is read from the header; the tensors stay on the disk. Shapes and keys tell the size of
the model and whether it has Wan 2.1's image attention. Wan 2.2's high- and low-noise models have
one shape, so these two can only be told from names and metadata.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wan2gp_svi.lora import keys
from wan2gp_svi.tensor_file import Header, read_header

# Width of the model -> its size and number of blocks: Wan 14B, 2.2 5B, 2.1 1.3B (wan/configs).
_SIZES = {5120: ("14B", 40), 3072: ("5B", 30), 1536: ("1.3B", 30)}
_IMAGE_KEYS = ("cross_attn.k_img", "cross_attn.v_img", "img_emb.")
_TITLES = ("modelspec.title", "ss_output_name", "ss_sd_model_name", "name", "title", "base_model")

_WORD = r"(?:^|(?<=[^a-z]))"
_NOISE_NAME = re.compile(
    _WORD + r"(high|low)(?![-_ .]?(?:res|qual|detail|def|vram|ram|rank|poly|light|angle|key|step))"
    r"(?=[-_ .]?noise|[^a-z]|$)"
)
_NAME_SAYS = (
    (r"5b(?![a-z0-9])|ti2v", ("version", "2.2"), ("size", "5B")),
    (r"2[._-]?2(?![0-9])(?=.*(14b|high|low|i2v|t2v))|wan[._-]?2[._-]?2|a14b", ("version", "2.2")),
    (r"wan[._-]?2[._-]?1(?![0-9])", ("version", "2.1")),
    (r"svi[-_](shot|film|tom|talk|dance)", ("version", "2.1"), ("task", "i2v")),
    (r"(?<!t)i2v", ("task", "i2v")),
    (r"t2v", ("task", "t2v")),
)


@dataclass
class Base:
    """The model a LoRA is made for, as far as can be told. None: it cannot.

    `size`: 14B, 5B, 1.3B. `version`: 2.1, 2.2. `task`: i2v, t2v. `noise`: high, low.
    `evidence`: field -> what it was told from ("shapes", "keys", "name", "metadata").
    """

    size: str | None = None
    version: str | None = None
    task: str | None = None
    noise: str | None = None
    evidence: dict[str, str] = field(default_factory=dict)

    def learn(self, what: str, value: str, source: str) -> None:
        if getattr(self, what) is None:
            setattr(self, what, value)
            self.evidence[what] = source

    def __str__(self) -> str:
        if self.size is None:
            return "unknown"
        words = ["Wan", self.version or "2.1 or 2.2", *(w for w in (self.task, self.size) if w)]
        text = " ".join(words) + (f", {self.noise} noise" if self.noise else "")
        told = {what for what, source in self.evidence.items() if source in ("name", "metadata")}
        shown = [what for what in ("version", "task", "noise") if what in told]
        sources = sorted({self.evidence[what] for what in shown})
        return text + (f" ({', '.join(shown)} by its {' and '.join(sources)})" if shown else "")


@dataclass
class Report:
    """The findings of `lora inspect`. `alone` and `extended`: WanGP without and with wan2gp-svi."""

    file: str
    bytes: int
    formats: list[str]
    base: Base
    ranks: list[int]
    strength: list[float]
    dtypes: list[str]
    tensors: int
    blocks: str
    dropped: dict[str, str]
    notes: list[str]
    alone: str
    extended: str

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "fits": str(self.base)}

    def as_text(self) -> str:
        def numbers(values: list[Any]) -> str:
            return ", ".join(f"{value:g}" for value in values[:6]) + (", ..." * (len(values) > 6))

        rows = [
            ("file", f"{self.file} ({self.bytes / 1e6:.1f} MB)"),
            ("format", " + ".join(self.formats)),
            ("fits", str(self.base)),
            ("rank", numbers(self.ranks) or "none (whole-weight differences)"),
            ("strength", f"{numbers(self.strength) or '1'}  (alpha/rank, at multiplier 1)"),
            ("type", ", ".join(self.dtypes)),
            ("blocks", f"{self.blocks}, {self.tensors} tensors"),
            *(("left out", f"{name}: {why}") for name, why in list(self.dropped.items())[:3]),
            *(("note", note) for note in self.notes),
            ("WanGP alone", self.alone),
            ("with wan2gp-svi", self.extended),
        ]
        return "\n".join(f"{label + ':':<17}{text}" for label, text in rows)


def read_plan(path: Path) -> tuple[Header, keys.Plan]:
    """A file's header and how to rename it. Raises UserError if it cannot be used as a LoRA."""
    header = read_header(path)
    config = keys.adapter_config(header.tensors, header.metadata, path)
    plan = keys.plan(header.shapes, header.numbers(".alpha"), config, where=str(path))
    keys.check_unknown(plan, str(path))
    return header, plan


def _learn_from(text: str, base: Base, source: str) -> None:
    text = text.lower()
    for pattern, *facts in _NAME_SAYS:
        if re.search(pattern, text):
            for what, value in facts:
                base.learn(what, value, source)
    if len(found := set(_NOISE_NAME.findall(text))) == 1:
        base.learn("noise", found.pop(), source)


def base_model(header: Header, plan: keys.Plan) -> Base:
    """The model that a file fits, from its shapes and keys, then its name, then its metadata."""
    base = Base()
    shapes = {new: header.tensors[old].shape for old, new in plan.names.items()}
    widths = Counter(
        shape[1]
        for new, shape in shapes.items()
        if new.endswith("lora_A.weight") and ("attn." in new or ".ffn.0." in new)
    )
    if widths and (size := _SIZES.get(widths.most_common(1)[0][0])):
        base.learn("size", size[0], "shapes")
    if any(part in new for new in shapes for part in _IMAGE_KEYS):
        base.learn("version", "2.1", "keys")  # Wan 2.2 has no image attention
        base.learn("task", "i2v", "keys")
    if base.size in ("5B", "1.3B"):
        base.learn("version", "2.2" if base.size == "5B" else "2.1", "shapes")
    _learn_from(header.path.name, base, "name")
    _learn_from(" ".join(header.metadata.get(name, "") for name in _TITLES), base, "metadata")
    if base.noise and base.size == "14B":
        base.learn("version", "2.2", base.evidence["noise"])  # only 2.2 has the two models
    if base.noise and (base.size, base.version) != ("14B", "2.2"):
        base.noise = None  # the word means something else
        del base.evidence["noise"]
    return base


def _blocks(plan: keys.Plan, size: str | None) -> str:
    numbers = sorted(
        {int(m[1]) for new in plan.names.values() if (m := re.search(r"\.blocks\.(\d+)\.", new))}
    )
    if not numbers:
        return "no blocks"
    total = next((count for label, count in _SIZES.values() if label == size), None)
    whole = numbers == list(range(numbers[0], numbers[-1] + 1))
    span = f"{numbers[0]} to {numbers[-1]}" if whole else ", ".join(map(str, numbers))
    return f"{len(numbers)}{f' of {total}' if total else ''} ({span})"


def _notes(header: Header, plan: keys.Plan) -> list[str]:
    shapes = {new.rsplit(".", 1)[1]: header.tensors[old].shape for old, new in plan.names.items()}
    notes = []
    if "diff" in shapes:
        notes.append("has whole-weight differences (.diff); mmgp skips those of norms and convs")
    if "dora_scale" in shapes:
        shape = shapes["dora_scale"]
        right = len(shape) == 2 and shape[1] == 1
        notes.append(
            "is a DoRA" + ("" if right else f" of shape {list(shape)}, not mmgp's [out, 1]")
        )
    return notes


def inspect_file(path: Path) -> Report:
    """Everything that can be said of a LoRA file without running it. Raises UserError."""
    header, plan = read_plan(path)
    formats = plan.formats
    loads = len(formats) == 1 and formats[0] in keys.WANGP_READS and not plan.dropped
    if not header.in_order:
        alone = extended = "misread: the header's order is not the tensors' order; convert it first"
    else:
        alone = "loads" if loads else 'stops: "unexpected module keys", or keys are skipped'
        extended = "loads as it is" if loads else "loads, renamed in memory"
    if loads and plan.alphas:
        alone = "loads, but without the alpha of its configuration"
        extended = "loads, with the alpha of its configuration"
    base = base_model(header, plan)
    return Report(
        file=str(path),
        bytes=path.stat().st_size,
        formats=formats,
        base=base,
        ranks=sorted(set(plan.ranks.values())),
        strength=sorted(set(plan.strength.values())),
        dtypes=[
            name for name, _ in Counter(t.dtype for t in header.tensors.values()).most_common()
        ],
        tensors=len(header.tensors),
        blocks=_blocks(plan, base.size),
        dropped=plan.dropped,
        notes=_notes(header, plan),
        alone=alone,
        extended=extended,
    )
