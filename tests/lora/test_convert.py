import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lora_formats import ALPHA, MODULES, RANK, entry, formats, pairs, raw, write
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from wan2gp_svi.cli import main
from wan2gp_svi.errors import UserError
from wan2gp_svi.lora import convert as convert_module
from wan2gp_svi.lora.convert import convert, convert_file
from wan2gp_svi.tensor_file import read_header

SCRIPT = str(Path(convert_module.__file__).parents[2])


def as_comfy_reads(path):
    """module -> strength * B.A, by the rules of ComfyUI's loader (alpha/rank, else 1)."""
    sd = load_file(path)
    assert all(name.startswith("diffusion_model.") for name in sd)
    deltas = {}
    for name, b in sd.items():
        if name.endswith(".lora_B.weight"):
            module = name.removesuffix(".lora_B.weight")
            a, alpha = sd[f"{module}.lora_A.weight"], sd.get(f"{module}.alpha")
            scale = 1.0 if alpha is None else alpha.item() / a.shape[0]
            deltas[module.removeprefix("diffusion_model.")] = scale * (b.double() @ a.double())
    return deltas


def wanted(strength, data=None):
    return {m: strength * (b.double() @ a.double()) for m, (a, b) in (data or pairs()).items()}


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[m], theirs[m]) for m in ours)


@pytest.mark.parametrize("label", formats())
def test_the_result_gives_the_deltas_of_the_files_own_tool(tmp_path, label):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    strength = write(label, source)
    convert_file(source, target)
    assert same(as_comfy_reads(target), wanted(strength))


@pytest.mark.parametrize("label", ["pipe_dit_default", "kohya", "mixed", "diffusers_config"])
def test_tensor_bytes_and_metadata_stay(tmp_path, label):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    make, metadata, _ = formats()[label]
    data = {m: (a.bfloat16(), b.bfloat16()) for m, (a, b) in pairs(random=True).items()}
    save_file(make(data), source, metadata={**(metadata or {}), "ss_output_name": "tést"})
    convert_file(source, target)
    before, after = read_header(source), read_header(target)

    def contents(header):
        with header.path.open("rb") as file:
            whole = file.read()
        tensors = [t for t in header.tensors.values() if not t.name.endswith("alpha")]
        return sorted((t.dtype, t.shape, whole[t.start : t.end]) for t in tensors)

    assert contents(before) == contents(after)
    assert after.in_order and after.metadata["ss_output_name"] == "tést"
    with safe_open(target, "pt") as reference:
        assert set(reference.keys()) == set(after.tensors)


def test_the_configuration_is_not_applied_twice(tmp_path):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    write("diffusers_config", source)
    convert_file(source, target)
    metadata = read_header(target).metadata
    assert "lora_adapter_metadata" not in metadata
    assert '"transformer.lora_alpha": 6' in metadata["wan2gp_svi.source_lora_adapter_metadata"]
    again = tmp_path / "again.safetensors"
    convert_file(target, again)
    assert same(as_comfy_reads(again), wanted(1.5))


def test_an_adapter_config_beside_the_file_counts(tmp_path):
    source, target = tmp_path / "adapter_model.safetensors", tmp_path / "out.safetensors"
    write("peft", source)
    (tmp_path / "adapter_config.json").write_text('{"r": 4, "lora_alpha": 10}')
    convert_file(source, target)
    assert same(as_comfy_reads(target), wanted(2.5))


def test_a_header_in_another_order_is_put_right(tmp_path):
    names = [f"blocks.0.ffn.0.lora_{side}.weight" for side in "BA"]
    entries = {names[0]: entry("U8", [3, 1], 2, 5), names[1]: entry("U8", [1, 2], 0, 2)}
    source = raw(tmp_path / "in.safetensors", entries, b"AABBB")
    convert_file(source, tmp_path / "out.safetensors")
    header = read_header(tmp_path / "out.safetensors")
    assert header.in_order
    last = list(header.tensors.values())[-1]
    assert last.name.endswith("lora_B.weight")
    assert header.path.read_bytes()[last.start : last.end] == b"BBB"


def test_numbers_lie_at_multiples_of_their_size(tmp_path):
    data = {m: (a.half(), b.half()) for m, (a, b) in pairs(rank=3).items()}
    for label in ("kohya", "diffusers_config"):
        make, metadata, _ = formats()[label]
        source, target = tmp_path / f"{label}.safetensors", tmp_path / f"{label}_.safetensors"
        save_file(make(data), source, metadata=metadata)
        convert_file(source, target)
        size = {"F64": 8, "F32": 4, "F16": 2}
        assert all(t.start % size[t.dtype] == 0 for t in read_header(target).tensors.values())


@pytest.mark.parametrize(
    ("dtype", "kind"), [("bf16", "bfloat16"), ("fp16", "float16"), ("fp32", "float32")]
)
@pytest.mark.parametrize("start", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_another_number_type(tmp_path, dtype, kind, start):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    data = {m: (a.to(start), b.to(start)) for m, (a, b) in pairs(random=True).items()}
    save_file(formats()["kohya"][0](data), source)
    convert_file(source, target, dtype)
    sd = load_file(target)
    for module, (a, b) in data.items():
        for end, tensor in (("lora_A", a), ("lora_B", b)):
            ours = sd[f"diffusion_model.{module}.{end}.weight"]
            assert torch.equal(ours, tensor.to(getattr(torch, kind)))
        assert sd[f"diffusion_model.{module}.alpha"].dtype == torch.float32


def test_a_number_that_does_not_fit_is_refused(tmp_path):
    source = tmp_path / "in.safetensors"
    data = pairs()
    data["head.head"][0][0, 0] = 1e6
    save_file(formats()["comfy"][0](data), source)
    with pytest.raises(UserError, match="which F16 cannot"):
        convert_file(source, tmp_path / "out.safetensors", "fp16")
    assert [p.name for p in tmp_path.iterdir()] == ["in.safetensors"]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.safetensors"
    write("pipe_dit_default", path)
    return path


def only_the_source(source):
    return [path for path in source.parent.rglob("*") if path.is_file()] == [source]


@pytest.mark.parametrize("name", ["in.safetensors", "./in.safetensors"])
def test_the_source_is_never_the_target(source, name):
    before = source.read_bytes()
    with pytest.raises(UserError, match="the source itself"):
        convert_file(source, source.parent / name)
    link = source.parent / "link.safetensors"
    link.symlink_to(source)
    with pytest.raises(UserError):
        convert_file(source, link)
    with pytest.raises(UserError):
        convert(source, source.parent)
    assert source.read_bytes() == before and link.is_symlink()


def test_an_existing_file_stays(source):
    other = source.parent / "other.safetensors"
    other.write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        convert_file(source, other)
    assert other.read_text() == "mine"


@pytest.mark.parametrize(
    ("code", "says"), [(errno.ENOSPC, "disk is full"), (errno.EIO, "cannot be written")]
)
def test_a_disk_that_fails_in_the_middle(source, monkeypatch, code, says):
    def fail(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(convert_module, "_copy", fail)
    with pytest.raises(UserError, match=says) as error:
        convert_file(source, source.parent / "out.safetensors")
    assert error.value.exit_code == 1 and only_the_source(source)


def test_a_disk_without_room_is_not_even_begun(source, monkeypatch):
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr(convert_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="disk is full"):
        convert_file(source, source.parent / "out.safetensors")


def test_ctrl_c_leaves_nothing(source, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(convert_module, "_check", stop)
    with pytest.raises(KeyboardInterrupt):
        convert_file(source, source.parent / "out.safetensors")
    assert only_the_source(source)


def test_a_wrong_byte_is_found(source, monkeypatch):
    copy = convert_module._copy

    def wrong(reader, writer, start, end, progress):
        copy(reader, writer, start, end, progress)
        writer.seek(-5, os.SEEK_CUR)
        byte = writer.read(1)[0]
        writer.seek(-1, os.SEEK_CUR)
        writer.write(bytes([byte ^ 1]))
        writer.seek(0, os.SEEK_END)

    monkeypatch.setattr(convert_module, "_copy", wrong)
    with pytest.raises(UserError, match="not what was sent"):
        convert_file(source, source.parent / "out.safetensors")
    assert only_the_source(source)


def test_swapped_tensors_are_found(source, monkeypatch):
    runs = convert_module._runs
    monkeypatch.setattr(
        convert_module, "_runs", lambda parts: runs([*parts[:2], parts[3], parts[2], *parts[4:]])
    )
    with pytest.raises(UserError, match="not what was sent"):
        convert_file(source, source.parent / "out.safetensors")
    assert only_the_source(source)


def test_without_the_kernels_copy(source, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EXDEV, "other disk")

    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    convert_file(source, source.parent / "out.safetensors")
    assert same(as_comfy_reads(source.parent / "out.safetensors"), wanted(1.0))


def test_a_folder_that_is_missing_and_a_name_that_wangp_ignores(source):
    with pytest.raises(UserError, match="does not exist"):
        convert_file(source, source.parent / "no" / "out.safetensors")
    with pytest.raises(UserError, match="should end in"):
        convert_file(source, source.parent / "out.pt")


def test_folders(tmp_path, capsys):
    source, target = tmp_path / "in", tmp_path / "in" / "out"
    (source / "deep").mkdir(parents=True)
    write("kohya", source / "a.safetensors")
    write("dit", source / "deep" / "b.sft")
    (source / "old.ckpt").write_bytes(b"\x80")
    (source / "notes.txt").write_text("x")
    raw(source / "bad.safetensors", {"x": 1})
    assert main(["lora", "convert", str(source), str(target)]) == 1
    assert sorted(p.name for p in target.rglob("*") if p.is_file()) == ["a.safetensors", "b.sft"]
    assert same(as_comfy_reads(target / "deep" / "b.sft"), wanted(1.0))
    said = capsys.readouterr()
    assert "old.ckpt" in said.err and "can run any code" in said.err and "2 of 4" in said.err
    assert main(["lora", "convert", str(source), str(target)]) == 1  # all exist already
    assert "exists already" in capsys.readouterr().err
    assert main(["lora", "convert", str(source), str(source)]) == 2


def test_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match="holds no"):
        convert(tmp_path, tmp_path / "out")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_stays_flat(tmp_path):
    """A file of 400 MB (sparse, so that this is quick) in a process of its own."""
    rows = 200 << 20
    side = {name: f"pipe.dit.blocks.0.ffn.0.lora_{name}.weight" for name in "AB"}
    entries = {
        side["A"]: entry("U8", [1, rows], 0, rows),
        side["B"]: entry("U8", [rows, 1], rows, 2 * rows),
    }
    source, target = raw(tmp_path / "in.safetensors", entries), tmp_path / "out.safetensors"
    os.truncate(source, source.stat().st_size + 2 * rows)
    command = (
        "import sys; from wan2gp_svi.cli import main; assert main(sys.argv[1:]) == 0;"
        "status = open('/proc/self/status').read();"  # getrusage would count the parent's memory
        "print(status.split('VmHWM:')[1].split()[0], 'torch' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", command, "lora", "convert", source, target],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": SCRIPT},
    ).stdout.split()
    assert read_header(target).in_order
    assert int(said[-2]) < 60_000 and said[-1] == "False"  # kilobytes


@pytest.mark.parametrize("label", formats())
def test_diffusers_reads_the_same_deltas(tmp_path, label):
    from diffusers import loaders

    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    # diffusers' converter knows an alpha only inside blocks, and needs A and B of a module
    data = {m: pair for m, pair in pairs().items() if m.startswith("blocks.")}
    make, metadata, strength = formats()[label]
    save_file(make(data), source, metadata=metadata)
    convert_file(source, target)
    sd, config = loaders.lora_pipeline.WanLoraLoaderMixin.lora_state_dict(
        str(target), return_lora_metadata=True
    )
    assert not config or not any("alpha" in name for name in config)
    for module, (a, b) in data.items():
        stem = f"transformer.{MODULES[module][0]}"
        delta = sd[f"{stem}.lora_B.weight"].double() @ sd[f"{stem}.lora_A.weight"].double()
        assert torch.equal(delta, strength * (b.double() @ a.double()))


class Net(torch.nn.Module):
    """Modules with Wan's names, for PEFT."""

    def __init__(self):
        super().__init__()
        block = torch.nn.Module()
        block.ffn = torch.nn.Sequential(
            torch.nn.Linear(16, 24, bias=False),
            torch.nn.GELU(),
            torch.nn.Linear(24, 16, bias=False),
        )
        self.blocks = torch.nn.ModuleList([block])


@pytest.mark.parametrize(
    "options",
    [{}, {"use_rslora": True}, {"alpha_pattern": {"ffn.2": 2}, "rank_pattern": {"ffn.2": 2}}],
)
def test_pefts_own_merge_gives_the_same_deltas(tmp_path, options):
    import peft

    torch.manual_seed(0)
    net = Net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=["ffn.0", "ffn.2"], **options)
    model = peft.get_peft_model(net, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape)
    model.save_pretrained(tmp_path / "peft")
    convert_file(tmp_path / "peft" / "adapter_model.safetensors", tmp_path / "out.safetensors")
    merged = model.merge_and_unload().state_dict()
    for module, delta in as_comfy_reads(tmp_path / "out.safetensors").items():
        theirs = (merged[f"{module}.weight"] - before[f"{module}.weight"]).double()
        assert torch.allclose(delta, theirs, atol=2e-6, rtol=1e-5)
        assert delta.abs().max() > 0.1


def test_alpha_over_rank_is_not_one_here():
    assert ALPHA / RANK == 0.75
