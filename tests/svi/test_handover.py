"""The hand-over file: what comes back, what is refused, and that crafted files do no harm."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi import handover as module
from wan2gp_svi.svi.fingerprint import FRAMES, difference, fingerprint, shape
from wan2gp_svi.svi.handover import FORMAT, HandOver, load, mismatch, path_beside, save

WIDTH, HEIGHT = 64, 48
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and resource limits")


def film(frames: int = 20, height: int = HEIGHT, width: int = WIDTH, step: int = 3) -> torch.Tensor:
    """A moving pattern with soft edges, uint8 (3, F, H, W)."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = [
        torch.stack(
            [
                128
                + 60 * torch.sin((x + step * i) / (5 + c))
                + 50 * torch.cos((y - step * i) / (7 - c))
                for i in range(frames)
            ]
        )
        for c in range(3)
    ]
    return torch.stack(waves).clamp(0, 255).to(torch.uint8)


def warmer(frames: torch.Tensor) -> torch.Tensor:
    """More red and less green, so that luma stays."""
    change = torch.tensor([12.0, -12 * 0.299 / 0.587, 0]).view(3, 1, 1, 1)
    return (frames + change).clamp(0, 255).to(torch.uint8)


def make(**changes) -> HandOver:
    random = torch.Generator().manual_seed(3)
    n = changes.get("motion_latents", 1)
    rows, columns = changes.get("height", HEIGHT) // 8, changes.get("width", WIDTH) // 8
    values = {
        "latents": torch.randn(16, n, rows, columns, generator=random),
        "start_anchor": torch.randn(16, 1, rows, columns, generator=random),
        "fingerprint": fingerprint(film(height=rows * 8, width=columns * 8)),
        "width": WIDTH,
        "height": HEIGHT,
        "fps": 16.0,
        "frames": 157,
        "windows": 2,
        "window_frames": 81,
        "motion_latents": n,
        "base_seed": 7,
        "seeds_used": (7, 49),
        "prompts": ("a cat", "(at 3 seconds: sie lacht – 笑う)"),
        "model_type": "i2v_2_2_svi2pro",
        "settings": {"shift": 5.0, "steps": 8, "sampler": "euler", "tiled": False, "none": None},
        "wangp_version": "12.60",
    }
    return HandOver(**{**values, **changes})


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        values = one if one.dtype == torch.uint8 else one.float()
        return isinstance(other, torch.Tensor) and (
            values.dtype == other.dtype
            and values.numpy(force=True).tobytes() == other.numpy().tobytes()
        )
    return type(one) is type(other) and one == other


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "clip.svi.safetensors"
    save(make(), path)
    return path


def parts(file: Path) -> tuple[dict, bytes]:
    content = file.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def resign(header: dict, data: bytes) -> None:
    """Give a header that was changed the checksum of what it says: only other checks are left."""
    digest = hashlib.sha256()
    for name in module.TEXTS:
        digest.update(f"{name}={header['__metadata__'][name]}\n".encode())
    for name in module.TENSORS:
        if name in header:
            begin, end = header[name]["data_offsets"]
            kind = {"F32": torch.float32, "U8": torch.uint8}[header[name]["dtype"]]
            digest.update(f"{name}: {kind}\n".encode() + data[begin:end])
    header["__metadata__"]["checksum"] = json.dumps(digest.hexdigest())


def write(file: Path, header: dict | bytes, data: bytes) -> None:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(raw)) + raw + data)


# -- there and back -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_every_field_comes_back(tmp_path: Path, dtype: torch.dtype, n: int) -> None:
    handover = make(motion_latents=n)
    handover = dataclasses.replace(
        handover,
        latents=handover.latents.to(dtype),
        start_anchor=handover.start_anchor.to(dtype),
        anchor=handover.start_anchor.to(dtype) * 2,
        anchors_used=3,
        seeds="list",
        seed_list=(7, 49, 1),
    )
    save(handover, tmp_path / "x.svi.safetensors")
    back = load(tmp_path / "x.svi.safetensors")
    for f in dataclasses.fields(HandOver):
        assert same(getattr(handover, f.name), getattr(back, f.name)), f.name
    assert torch.equal(back.anchor_in_force, handover.anchor)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 31), st.integers(0, 16 * 6 * 8 - 1))
def test_float32_comes_back_to_the_bit(tmp_path_factory, bits: int, clear: int, place: int) -> None:
    """Whatever the last bits of one value among float16 ones are: -0, subnormal, too fine."""
    latent = make().start_anchor.half().float()
    value = torch.tensor([bits >> clear << clear], dtype=torch.int64).to(torch.int32)
    latent.view(-1).view(torch.int32)[place] = value[0]
    assume(bool(torch.isfinite(latent).all()))
    path = tmp_path_factory.getbasetemp() / "bits.svi.safetensors"
    save(make(start_anchor=latent), path)
    assert same(latent, load(path).start_anchor)


def test_values_of_a_16_bit_vae_take_half_the_room(tmp_path: Path) -> None:
    size = {"width": 832, "height": 480}
    sizes = []
    for vae in (torch.float16, torch.float32):
        one = make(**size)
        start, other = one.start_anchor.to(vae).float(), one.start_anchor.mul(2).to(vae).float()
        for anchor in (None, other):
            file = tmp_path / "clip.svi.safetensors"
            save(dataclasses.replace(one, start_anchor=start, anchor=anchor), file)
            sizes.append(file.stat().st_size / 1e6)
    assert sizes[0] < 0.65
    assert max(sizes[1:3]) < 0.85
    assert sizes[3] < 1.25


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    prompts=st.lists(st.text(max_size=40), max_size=5).map(tuple),
    seed=st.integers(0, 2**63 - 1),
    fps=st.floats(1, 120),
    extra=st.dictionaries(
        st.text(max_size=10),
        st.one_of(st.none(), st.booleans(), st.integers(-9999, 9999), st.text(max_size=20)),
        max_size=4,
    ),
)
def test_any_text_and_number_comes_back(tmp_path: Path, prompts, seed, fps, extra) -> None:
    path = tmp_path / "x.svi.safetensors"
    save(make(prompts=prompts, base_seed=seed, fps=fps, settings=extra), path)
    back = load(path)
    assert (back.prompts, back.base_seed, back.fps, back.settings) == (prompts, seed, fps, extra)


def test_an_anchor_equal_to_the_start_anchor_is_stored_once(tmp_path: Path) -> None:
    handover = make()
    one, two = tmp_path / "one", tmp_path / "two"
    save(handover, one)
    save(dataclasses.replace(handover, anchor=handover.start_anchor.clone()), two)
    assert one.stat().st_size == two.stat().st_size
    back = load(two)
    assert back.anchor is None
    assert torch.equal(back.anchor_in_force, handover.start_anchor)


def test_size_at_832x480_is_under_a_megabyte(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save(
        make(width=832, height=480, prompts=("word " * 200,) * 900, seeds_used=(9**15,) * 9000),
        path,
    )
    assert path.stat().st_size < 1_000_000


def test_a_long_history_keeps_its_newest_part(tmp_path: Path) -> None:
    path = tmp_path / "x"
    prompts = tuple(f"{k}: " + "word " * 50 for k in range(5000))
    save(make(prompts=prompts, seeds_used=tuple(range(9000))), path)
    back = load(path)
    assert 100 < len(back.prompts) < 1000
    assert back.prompts == prompts[-len(back.prompts) :]
    assert back.seeds_used == tuple(range(9000))[-4096:]


def test_a_view_of_a_large_tensor_is_saved_as_itself(tmp_path: Path) -> None:
    whole = torch.randn(16, 21, HEIGHT // 8, WIDTH // 8)
    save(make(latents=whole[:, -1:]), tmp_path / "x")
    assert torch.equal(load(tmp_path / "x").latents, whole[:, -1:])
    assert (tmp_path / "x").stat().st_size < 40_000


def test_saving_leaves_random_states_alone(tmp_path: Path) -> None:
    import random

    torch.manual_seed(5)
    random.seed(5)
    before = torch.get_rng_state(), random.getstate()
    handover = dataclasses.replace(make(), id=module.new_id())
    save(handover, tmp_path / "x")
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


def test_ids_are_fresh() -> None:
    assert make().id != make().id


@pytest.mark.parametrize(
    ("video", "beside"),
    [
        ("clip.mp4", "clip.svi.safetensors"),
        ("a/b c.d.mkv", "a/b c.d.svi.safetensors"),
        ("ü", "ü.svi.safetensors"),
    ],
)
def test_path_beside(video: str, beside: str) -> None:
    assert path_beside(video) == Path(beside)


# -- whole or not at all ------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file_and_nothing_else(file: Path, monkeypatch) -> None:
    before = file.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device") as raised:
        save(make(windows=9), file)
    assert raised.value.exit_code == 1
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_folder_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="could not be written"):
        save(make(), tmp_path / "gone" / "x")


@posix
def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    """Killed at any write, the file in place is the old one or the new one, and readable."""
    path = tmp_path / "clip.svi.safetensors"
    save(make(windows=1), path)
    script = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import wan2gp_svi.svi.handover as module
from test_handover import make
from pathlib import Path
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
module.save(make(windows=2), Path({str(path)!r}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert done.returncode == -9
    assert load(path).windows == 1


@posix
def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    """A real one: the process may write no file longer than 4 kB."""
    script = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_handover import make
from wan2gp_svi.svi.handover import save
from wan2gp_svi.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))
try:
    save(make(), {str(tmp_path / "x")!r})
except UserError as error:
    print("said:", error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert "said: The hand-over file x could not be written" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


# -- what is refused when one is made -----------------------------------------------------------

NAN = torch.full((16, 1, HEIGHT // 8, WIDTH // 8), torch.nan)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"width": 65}, "multiple of 8"),
        ({"width": 72}, "shape"),
        ({"width": 10**6}, "from 8 to 4096"),
        ({"height": 0}, "from 8"),
        ({"fps": 0}, "frame rate"),
        ({"fps": float("nan")}, "frame rate"),
        ({"fps": float("inf")}, "frame rate"),
        ({"fps": "16"}, "frame rate"),
        ({"frames": 0}, "number of frames"),
        ({"frames": True}, "number of frames"),
        ({"frames": 3}, "fingerprint"),
        ({"windows": -1}, "number of windows"),
        ({"window_frames": 80}, "4k"),
        ({"motion_latents": 0}, "motion latents"),
        ({"motion_latents": 2, "latents": torch.zeros(16, 1, HEIGHT // 8, WIDTH // 8)}, "shape"),
        ({"latents": NAN}, "latents holds values"),
        ({"start_anchor": NAN * float("inf")}, "start_anchor holds values"),
        ({"anchor": NAN}, "anchor holds values"),
        ({"latents": None}, "latents must be a tensor"),
        ({"latents": torch.zeros(16, 1, HEIGHT // 8, WIDTH // 8).double()}, "float64"),
        ({"latents": torch.zeros(16, 1, HEIGHT // 8, WIDTH // 8, dtype=torch.uint8)}, "uint8"),
        ({"fingerprint": torch.zeros(9, 4, 3, 4)}, "float32"),
        ({"fingerprint": torch.zeros(9, 4, 3, 5, dtype=torch.uint8)}, "shape"),
        ({"fingerprint": torch.zeros(0, 4, 3, 4, dtype=torch.uint8)}, "shape"),
        ({"base_seed": -1}, "base seed"),
        ({"base_seed": 2**63}, "base seed"),
        ({"seeds": "random"}, "seeds"),
        ({"seeds_used": (1, "2")}, "a seed in seeds_used"),
        ({"window_ends": (81, -5)}, "end of a window"),
        ({"prompts": "a cat"}, "prompts"),
        ({"prompts": (3,)}, "a prompt"),
        ({"prompts": ("\ud800",)}, "characters"),
        ({"anchors_used": -1}, "anchors"),
        ({"anchor_strength": float("nan")}, "anchor_strength"),
        ({"model_type": 3}, "model_type"),
        ({"mode": "x" * 300}, "mode"),
        ({"settings": {"path": ["x"]}}, "setting"),
        ({"settings": {str(k): k for k in range(65)}}, "settings"),
        ({"settings": {"x": float("inf")}}, "setting"),
        ({"id": "../../etc/passwd"}, "id"),
        ({"id": "A" * 32}, "id"),
        ({"format": 0}, "format"),
    ],
)
def test_wrong_fields_are_refused_by_name(change: dict, sentence: str) -> None:
    good = make()
    with pytest.raises(UserError, match=sentence):
        dataclasses.replace(good, **change)


# -- what is refused when one is read -----------------------------------------------------------


def test_no_file_a_folder_and_a_pipe_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no hand-over file"):
        load(tmp_path / "x")
    with pytest.raises(UserError, match="not a file"):
        load(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(UserError, match="not a file"):
            load(tmp_path / "pipe")


def test_cut_off_anywhere(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    lengths = {*range(40), *range(0, len(whole), 97), header - 1, header, header + 1}
    cut = tmp_path / "cut"
    for length in sorted(lengths | {len(whole) - 1}):
        cut.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut off|not a safetensors file"):
            load(cut)


def test_bytes_after_the_end(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(UserError, match="longer than it should be"):
        load(file)


def test_a_newer_format_names_the_version_needed(file: Path) -> None:
    header, data = parts(file)
    header["__metadata__"] |= {"format": "2", "extension_version": '"0.9.1"', "new": "1"}
    write(file, header, data)
    with pytest.raises(UserError, match=r"Update wan2gp-svi to version 0\.9\.1 or later"):
        load(file)


def test_another_programs_safetensors_file(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"latents": torch.zeros(4)}, tmp_path / "x", {"format": "pt"})
    with pytest.raises(UserError, match="not one of wan2gp-svi"):
        load(tmp_path / "x")
    save_file({"latents": torch.zeros(4)}, tmp_path / "x")
    with pytest.raises(UserError, match="not one of wan2gp-svi"):
        load(tmp_path / "x")


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    torch.save({"latents": torch.zeros(4)}, tmp_path / "x")
    with pytest.raises(UserError):
        load(tmp_path / "x")


@pytest.mark.parametrize("name", module.TEXTS)
def test_each_missing_or_mistyped_field(file: Path, name: str) -> None:
    header, data = parts(file)
    right = header["__metadata__"].pop(name)
    write(file, header, data)
    with pytest.raises(UserError):
        load(file)
    for wrong in ("", "{", '{"a": [1]}', "[[1]]", "NaN", "1e999", "9" * 5000, "[" * 90_000):
        header["__metadata__"][name] = wrong
        resign(header, data)
        write(file, header, data)
        with pytest.raises(UserError):
            load(file)
    header["__metadata__"][name] = right
    resign(header, data)
    write(file, header, data)
    load(file)


@pytest.mark.parametrize("name", ["latents", "start_anchor", "fingerprint"])
def test_each_missing_tensor(file: Path, name: str) -> None:
    header, data = parts(file)
    del header[name]
    write(file, header, data)
    with pytest.raises(UserError):
        load(file)


def test_latents_that_are_not_finite(file: Path) -> None:
    header, data = parts(file)
    begin, _ = header["latents"]["data_offsets"]
    for value in (float("nan"), float("inf")):
        broken = data[:begin] + struct.pack("<f", value) + data[begin + 4 :]
        resign(header, broken)
        write(file, header, broken)
        with pytest.raises(UserError, match="not finite"):
            load(file)


def _crafted(header: dict, data: bytes):
    """Headers that lie."""
    one = header["latents"]
    far = 10**11
    for shape_, offsets in [
        ([16, 1, 50_000, 50_000], [0, 16 * 50_000 * 50_000 * 4]),
        ([16, 1, 6, 8], [0, far]),
        ([16, 1, 6, 8], [far, far + 3072]),
        ([16, 1, 6, 8], [-3072, 0]),
        ([16, 1, 6, 8], [3072, 0]),
        ([16, 1, 6, 8], [0]),
        ([16, 1, 6, 8], ["0", "3072"]),
        ([16, 1, 6, 8], [0.0, 3072.0]),
        ([16, 1, 6, 8], [0, 3071]),
        ([-16, -1, 6, 8], one["data_offsets"]),
        ([16, 1, 48], one["data_offsets"]),
        ([16, 1, 6, True], one["data_offsets"]),
        ([], one["data_offsets"]),
        ("shape", one["data_offsets"]),
        ([2**63, 2**63, 2**63, 2**63], one["data_offsets"]),
        ([10**25, 1, 6, 8], one["data_offsets"]),
        ([0, 1, 6, 8], one["data_offsets"]),
    ]:
        yield (
            {**header, "latents": {"dtype": "F32", "shape": shape_, "data_offsets": offsets}},
            data,
        )
    for entry in (
        None,
        [],
        "x",
        7,
        {},
        {**one, "more": 1},
        {**one, "dtype": "F64"},
        {**one, "dtype": []},
    ):
        yield {**header, "latents": entry}, data
    # two tensors in the same place
    yield {**header, "latents": header["start_anchor"]}, data
    yield {**header, "start_anchor": one}, data
    yield {**header, "surprise": one}, data
    yield {**header, "__metadata__": None}, data
    yield {**header, "__metadata__": []}, data
    yield {**header, "__metadata__": {**header["__metadata__"], "path": '"/etc/passwd"'}}, data
    yield {**header, "__metadata__": {**header["__metadata__"], "frames": 157}}, data
    text = json.dumps(header)
    yield text.replace('"latents"', '"start_anchor"', 1).encode(), data
    yield text.replace('{"', '{"latents": 3, "', 1).encode(), data
    yield text.replace("3072", "3072" + "0" * 100_000, 1).encode(), data
    yield text.replace("3072", "NaN", 1).encode(), data
    for raw in (
        b"[" * 500_000,
        b'{"a":' * 150_000,
        b"[]",
        b"{}",
        b"null",
        b'"x"',
        b"\xff\xfe{}",
        b"",
        b"9" * 900_000,
    ):
        yield raw, data
    yield b" " * 900_000 + text.encode(), data[:-1]


def test_crafted_headers(file: Path) -> None:
    header, data = parts(file)
    for number, (crafted, rest) in enumerate(_crafted(header, data)):
        write(file, crafted, rest)
        with pytest.raises(UserError) as raised:
            load(file)
        assert len(str(raised.value)) < 300, number


@pytest.mark.parametrize("size", [2**20 + 1, 2**31, 2**63, 2**64 - 1, 0, 1])
def test_header_lengths_that_lie(file: Path, size: int) -> None:
    file.write_bytes(struct.pack("<Q", size) + file.read_bytes()[8:])
    with pytest.raises(UserError):
        load(file)


def test_a_hundred_gigabytes_of_nothing_are_not_read(file: Path) -> None:
    """A sparse file with a header that fits itself: refused by what the fields allow."""
    header, _ = parts(file)
    header["latents"] = {
        "dtype": "F32",
        "shape": [16, 1, 40_000, 40_000],
        "data_offsets": [0, 102_400_000_000],
    }
    raw = json.dumps(header).encode()
    with file.open("wb") as f:
        f.write(struct.pack("<Q", len(raw)) + raw)
        f.truncate(8 + len(raw) + 102_400_000_000)
    with pytest.raises(UserError, match="shape"):
        load(file)


@settings(
    max_examples=200, deadline=1000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_flipped_bits_are_found(tmp_path: Path, data) -> None:
    """Bits of header or data: a `UserError` - or, white space for white space, no change at all."""
    path = tmp_path / "x"
    if not path.exists():
        save(make(), path)
    content = bytearray(path.read_bytes())
    size = struct.unpack("<Q", content[:8])[0]
    last = data.draw(st.sampled_from([8 + size, len(content) - 1]))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, last))] ^= 1 << data.draw(st.integers(0, 7))
    broken = tmp_path / "broken"
    broken.write_bytes(content)
    try:
        found = load(broken)
    except UserError as error:
        str(error).encode()
    else:
        right = load(path)
        for f in dataclasses.fields(HandOver):
            assert same(getattr(right, f.name), getattr(found, f.name)), f.name


def test_the_checksum_covers_every_field(file: Path) -> None:
    """A change that is plausible in itself: another strength, another latent."""
    header, data = parts(file)
    assert header["__metadata__"]["anchor_strength"] == "1.0"
    for name, value in {
        "anchor_strength": "5.0",
        "base_seed": "8",
        "prompts": '["a", "b"]',
    }.items():
        changed = {**header, "__metadata__": {**header["__metadata__"], name: value}}
        write(file, changed, data)
        with pytest.raises(UserError, match="damaged, its checksum"):
            load(file)
    write(file, header, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(UserError, match="damaged, its checksum"):
        load(file)
    write(file, header, data)
    load(file)


@settings(
    max_examples=150, deadline=1000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=300), sized=st.booleans())
def test_random_bytes(tmp_path: Path, content: bytes, sized: bool) -> None:
    path = tmp_path / "x"
    path.write_bytes(struct.pack("<Q", len(content)) * sized + content)
    with pytest.raises(UserError):
        load(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(
    max_examples=150, deadline=1000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from([*module.TEXTS, *module.TENSORS]), value=JSON)
def test_any_json_in_any_field(tmp_path: Path, name: str, value) -> None:
    whole = tmp_path / "whole"
    if not whole.exists():
        save(make(), whole)
    header, data = parts(whole)
    if name in module.TENSORS:
        header[name] = value
    else:
        header["__metadata__"][name] = json.dumps(value)
        resign(header, data)
    path = tmp_path / "x"
    write(path, header, data)
    try:
        module.check(load(path))
    except UserError as error:
        str(error).encode()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS")
def test_crafted_files_need_no_memory(file: Path, tmp_path: Path) -> None:
    """All crafted headers, read by a process that may take 64 MB more than it has."""
    header, data = parts(file)
    for number, (crafted, rest) in enumerate(_crafted(header, data)):
        write(tmp_path / f"{number}.crafted", crafted, rest)
    script = f"""
import resource, time
from pathlib import Path
from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.handover import load
load({str(file)!r})
have = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (have + 64 * 2**20,) * 2)
for path in sorted(Path({str(tmp_path)!r}).glob("*.crafted")):
    start = time.perf_counter()
    try:
        load(path)
        print("accepted", path)
    except UserError:
        pass
    assert time.perf_counter() - start < 1, path
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


# -- does it belong to these frames? ------------------------------------------------------------

OFFER = {
    "width": WIDTH,
    "height": HEIGHT,
    "fps": 16,
    "model_type": "i2v_2_2_svi2pro",
    "frames": 157,
}


def test_its_own_frames_are_accepted() -> None:
    frames = film()
    noise = torch.randint(-3, 4, frames.shape, generator=torch.Generator().manual_seed(1))
    coded = (frames.int() + noise).clamp(0, 255).to(torch.uint8)
    for tail in (frames, coded, coded[:, -9:], coded[:, -1:], coded.float() / 127.5 - 1):
        assert mismatch(make(), **OFFER, tail=tail) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"width": 80}, "64x48"),
        ({"fps": 15}, "16 frames a second"),
        ({"model_type": "i2v_2_2"}, "the model i2v_2_2_svi2pro"),
        ({"frames": 156}, "157 frames"),
        ({"tail": film()[:, :, :, :32]}, "frames are 32x48"),
        ({"tail": film()[:, :0]}, "no frames"),
        ({"tail": film().flip(3)}, "last frames"),
        ({"tail": film()[:, :-1]}, "last frames|cut from its end"),
        ({"tail": film(step=2)}, "last frames"),
        ({"tail": (film().int() + 8).clamp(0, 255).to(torch.uint8)}, "last frames"),
        ({"tail": warmer(film())}, "colours"),
    ],
)
def test_other_frames_are_refused_with_the_reason(change: dict, reason: str) -> None:
    found = mismatch(make(), **{**OFFER, "tail": film(), **change})
    assert found is not None
    assert re.search(reason, found), found


def test_thumbnails_of_slow_motion_show_a_cut() -> None:
    """Every frame within the limits of the one before: only the better match tells."""
    frames = film(step=1, height=480, width=832).float()
    slow = torch.lerp(frames[:, :1], frames[:, -1:], torch.linspace(0, 0.4, 20).view(1, -1, 1, 1))
    stored = fingerprint(slow.to(torch.uint8))
    assert difference(stored, slow.to(torch.uint8)) is None
    assert difference(stored, slow[:, :-1].to(torch.uint8)) is not None


@pytest.mark.parametrize("frames", [1, 2, 5, 30])
def test_short_videos_have_short_fingerprints(frames: int, tmp_path: Path) -> None:
    video = film(frames)
    print_ = fingerprint(video)
    assert print_.shape == (min(frames, FRAMES), *shape(HEIGHT, WIDTH))
    save(make(frames=frames, fingerprint=print_), tmp_path / "x")
    assert mismatch(load(tmp_path / "x"), **{**OFFER, "frames": frames}, tail=video) is None


def test_the_format_is_the_one_documented() -> None:
    assert FORMAT == 1
