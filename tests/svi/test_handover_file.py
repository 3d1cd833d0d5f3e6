"""The hand-over file: what comes back, what is refused, and that crafted files do no harm."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from handovers import HEIGHT, WIDTH, make, make_shown
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.handover import TENSORS, TEXTS, HandOver, check, new_id, texts_of
from wan2gp_svi.svi.handover_file import load, path_beside, read_id, save

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and resource limits")


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
    for name in [name for name in TEXTS if name in header["__metadata__"]]:
        digest.update(f"{name}={header['__metadata__'][name]}\n".encode())
    for name in TENSORS:
        if name in header:
            begin, end = header[name]["data_offsets"]
            kind = {"F32": torch.float32, "U8": torch.uint8}[header[name]["dtype"]]
            digest.update(f"{name}: {kind}\n".encode() + data[begin:end])
    header["__metadata__"]["checksum"] = json.dumps(digest.hexdigest())


def write(file: Path, header: dict | bytes, data: bytes) -> None:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(raw)) + raw + data)


# -- there and back -----------------------------------------------------------------------------


def test_what_the_video_is_shown_as_comes_back_and_makes_it_format_2(tmp_path: Path) -> None:
    handover = make_shown()
    save(handover, tmp_path / "x")
    back = load(tmp_path / "x")
    assert (back.format, back.shown_as) == (2, (2 * WIDTH, 2 * HEIGHT, 32.0))
    assert back.shown is not None and torch.equal(back.shown, handover.shown)


def test_a_file_without_it_is_one_that_the_first_version_reads(file: Path) -> None:
    header, _ = parts(file)
    assert header["__metadata__"]["format"] == "1"
    assert "shown_as" not in header["__metadata__"]


@pytest.mark.parametrize("name", ["shown", "shown_as"])
def test_one_half_of_what_is_shown_is_refused(tmp_path: Path, name: str) -> None:
    save(make_shown(), tmp_path / "x")
    header, data = parts(tmp_path / "x")
    if name == "shown":  # the last of the tensors
        begin, _ = max(header[n]["data_offsets"] for n in TENSORS if n in header)
        del header[
            max((n for n in TENSORS if n in header), key=lambda n: header[n]["data_offsets"])
        ]
        data = data[:begin]
    else:
        header["__metadata__"]["shown_as"] = "[]"
        header["__metadata__"]["format"] = "1"
    resign(header, data)
    write(tmp_path / "x", header, data)
    with pytest.raises(UserError, match="not usable"):
        load(tmp_path / "x")


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
    handover = dataclasses.replace(make(), id=new_id())
    save(handover, tmp_path / "x")
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


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
from wan2gp_svi.svi.handover_file import save
from handovers import make
from pathlib import Path
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
save(make(windows=2), Path({str(path)!r}))
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
from handovers import make
from wan2gp_svi.svi.handover_file import save
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
    header["__metadata__"] |= {"format": "3", "extension_version": '"0.9.1"', "new": "1"}
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


@pytest.mark.parametrize("name", texts_of(1))
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
@given(name=st.sampled_from([*TEXTS, *TENSORS]), value=JSON)
def test_any_json_in_any_field(tmp_path: Path, name: str, value) -> None:
    whole = tmp_path / "whole"
    if not whole.exists():
        save(make(), whole)
    header, data = parts(whole)
    if name in TENSORS:
        header[name] = value
    else:
        header["__metadata__"][name] = json.dumps(value)
        resign(header, data)
    path = tmp_path / "x"
    write(path, header, data)
    try:
        check(load(path))
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
from wan2gp_svi.svi.handover_file import load
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


# -- format 1 -----------------------------------------------------------------------------------

FORMAT_1 = Path(__file__).with_name("format-1.svi.safetensors")
"""Written by wan2gp-svi 0.1.0 at its commit a0b61d0: every field has a value of its own."""


def test_a_file_of_format_1_is_read() -> None:
    cells = torch.arange(16 * 2 * 2 * 3).view(16, 2, 2, 3)
    wanted = {
        "latents": cells / 7,
        "start_anchor": cells[:, :1] / 8,
        "anchor": cells[:, 1:] / -3,
        "fingerprint": torch.arange(36, dtype=torch.uint8).view(9, 4, 1, 1),
        "width": 24,
        "height": 16,
        "fps": 16.5,
        "frames": 157,
        "windows": 2,
        "window_ends": (81, 157),
        "window_frames": 81,
        "motion_latents": 2,
        "discard": 4,
        "mode": "pro",
        "base_seed": 7,
        "seeds": "list",
        "seed_list": (7, 1, 2),
        "seeds_used": (7, 1),
        "prompts": ("a cat", "(at 3 seconds: sie lacht – 笑う)"),
        "anchors_used": 1,
        "anchor_strength": 0.75,
        "motion_strength": 1.25,
        "model_type": "i2v_2_2_svi2pro",
        "settings": {"previous": "0" * 32, "shift": 5.0, "steps": 8, "tiled": False, "none": None},
        "wangp_version": "WanGP v12.60",
        "extension_version": "0.1.0",
        "id": "0123456789abcdef" * 2,
        "format": 1,
        "shown": None,  # since format 2
        "shown_as": (),
    }
    found = load(FORMAT_1)
    assert set(wanted) == {f.name for f in dataclasses.fields(HandOver)}
    for name, value in wanted.items():
        assert same(value, getattr(found, name)), name
    assert read_id(FORMAT_1) == "0123456789abcdef" * 2


def test_what_is_written_is_what_format_1_was(tmp_path: Path) -> None:
    """So the wan2gp-svi of then reads it. Whoever changes the file gives it another format."""
    path = tmp_path / "x"
    save(load(FORMAT_1), path)
    (header, data), (wanted, wanted_data) = parts(path), parts(FORMAT_1)
    assert header == wanted
    assert list(header) == list(wanted)  # in the order of their bytes
    assert data == wanted_data
