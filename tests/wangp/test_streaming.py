"""Saving a run's video as it grows, with a small stand-in for what wgp.py does around it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.carry import Carry
from wan2gp_svi.svi.modes import PRO
from wan2gp_svi.svi.windows import Chain, Size
from wan2gp_svi.video.encode import encoder
from wan2gp_svi.wangp import console, loop, streaming
from wan2gp_svi.wangp.run import Run, set_current
from wan2gp_svi.wangp.settings import Settings

SIZE = Size(17)
FIRST, ADDS, SHARED = 17, 12, 5


def pictures(frames: int, seed: int = 0) -> Tensor:
    """(3, F, 48, 64), uint8: soft shapes that move."""
    y, x = np.mgrid[0:48, 0:64]
    made = [
        [
            128 + 60 * np.sin((x + 3 * i + seed) / (5 + c)) + 50 * np.cos((y - i) / 7)
            for c in range(3)
        ]
        for i in range(frames)
    ]
    return torch.from_numpy(np.array(made).clip(0, 255).astype(np.uint8)).transpose(0, 1)


class Host:
    """The globals of a wgp.py, its window loop, and what its encoder was given."""

    def __init__(self, as_list: bool) -> None:
        self.as_list, self.encoded, self.fails = as_list, [], False
        self.read: list[int] = []  # frames, each time
        self.wgp = {
            "save_video": self.save_video,
            "preprocess_video": self.preprocess_video,
            "record_file_metadata": lambda: None,
            "server_config": {"video_output_codec": "libx264_8"},
            streaming.SOUND: lambda video, source_audio_duration: source_audio_duration,
        }

    def save_video(self, tensor=None, save_file=None, fps=30, codec_type="x", container="mp4",
                   nrow=8):  # fmt: skip
        if self.fails:
            return None  # as WanGP does, after some tries
        chunks = tensor if isinstance(tensor, list) else [tensor[0]]
        frames = torch.cat(list(chunks), 1)
        if frames.is_floating_point():
            frames = frames.add(1).mul(127.5).round().to(torch.uint8)
        self.encoded.append(frames.shape[1])
        encoder(codec_type, fps)(frames.permute(1, 2, 3, 0).numpy(), Path(save_file))
        return save_file

    def preprocess_video(self, video_in, max_frames, start_frame=0):
        """At 16 frames a second, 64x48; the size and rate that WanGP would be told."""
        with av.open(video_in) as container:
            step = round(container.streams.video[0].average_rate / 16)
            shown = list(container.decode(video=0))[::step]
            frames = [f.to_ndarray(format="rgb24", width=64, height=48) for f in shown]
        self.read.append(len(frames[start_frame:][:max_frames]))
        return torch.from_numpy(np.stack(frames[start_frame:][:max_frames]))


class Loop:
    """WanGP's window loop: what it holds, and the names that it saves under."""

    def __init__(self, host: dict, folder: Path, as_list: bool, run: Run) -> None:
        self.wgp, self.folder, self.as_list, self.run = host, folder, as_list, run
        self.held: list[Tensor] | None = None
        self.names: list[Path] = []

    def window(self, sample: Tensor, ending: str = "mp4", tmp: str = "", fps: int = 16) -> Path:
        self.run.begin(len(self.names) + 1, 7, "words")
        name = self.folder / f"{len(self.names) + 1}{tmp}.{ending}"
        if self.as_list:
            self.held = self.held if self.held is not None else []
            self.held.append(sample)
            tensor = self.held
        else:
            sample = sample.float().div(127.5).sub(1)
            if self.held is not None:
                sample = torch.cat([self.held, sample], 1)
            self.held = sample
            tensor = sample[None]
        self.wgp["save_video"](
            tensor=tensor, save_file=str(name), fps=fps, nrow=1, codec_type="libx264_8",
            container=ending,
        )  # fmt: skip
        self.names.append(name)
        return name

    @property
    def in_memory(self) -> int:
        if self.as_list:
            return sum(chunk.shape[1] for chunk in self.held)
        return self.held.shape[1]


def sums(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.video[0])
        return [hashlib.sha256(bytes(packet)).digest() for packet in packets if packet.size]


def run_of(windows: int, source_frames: int = 0) -> Run:
    chain = Chain(size=SIZE, source_frames=source_frames)
    return Run(Settings(), Carry(chain, PRO), [SIZE] * windows)


@pytest.fixture(params=[True, False], ids=["list", "tensor"])
def host(request):
    made = Host(request.param)
    streaming.attach(made.wgp)
    loop.attach(made.wgp)
    yield made
    set_current(None)


def start(host: Host, folder: Path, windows: int, source_frames: int = 0, **given) -> Loop:
    run = run_of(windows, source_frames)
    streaming.begin(host.wgp, run, given)
    set_current(run)
    return Loop(host.wgp, folder, host.as_list, run)


def test_only_new_frames_are_encoded_and_held(host: Host, tmp_path: Path) -> None:
    going = start(host, tmp_path, 4)
    for number in range(4):
        going.window(pictures(FIRST if number == 0 else ADDS, number))
        assert going.in_memory <= 1
    streaming.end(going.run)
    assert host.encoded == [FIRST, ADDS, ADDS, ADDS]
    found = [sums(name) for name in going.names]
    assert [len(one) for one in found] == [17, 29, 41, 53]
    assert all(found[-1][: len(one)] == one for one in found)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1.mp4", "2.mp4", "3.mp4", "4.mp4"]


def test_a_stopped_run_leaves_a_finished_film(host: Host, tmp_path: Path) -> None:
    host.wgp["server_config"]["keep_intermediate_sliding_windows"] = 0
    going = start(host, tmp_path, 4)
    going.window(pictures(FIRST))
    name = going.window(pictures(ADDS))
    streaming.end(going.run)  # as after an abort in window 3
    with av.open(str(name)) as container:
        assert container.streams.video[0].frames == 29  # it has an index
    assert name.stat().st_nlink == 1


def test_later_windows_of_a_long_run_leave_their_part(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "WHOLE", 2)
    going = start(host, tmp_path, 5)
    for number in range(5):
        going.window(pictures(FIRST if number == 0 else ADDS, number))
    streaming.end(going.run)
    assert [len(sums(name)) for name in going.names] == [17, 29, ADDS, ADDS, 65]


def test_what_gets_sound_afterwards_is_only_shown(host: Host, tmp_path: Path) -> None:
    going = start(host, tmp_path, 2)
    for number in range(2):
        name = going.window(pictures(FIRST if number == 0 else ADDS), tmp="_tmp")
        assert len(sums(name)) == (17, 29)[number]
        name.unlink()
    streaming.end(going.run)
    assert host.encoded == [FIRST, ADDS]


def test_a_program_that_wants_all_frames_gets_them(host: Host, tmp_path: Path) -> None:
    host.wgp["get_api_output_options"] = lambda data: (data == "all", False)
    going = start(host, tmp_path, 3, plugin_data="all")
    for number in range(3):
        going.window(pictures(FIRST if number == 0 else ADDS, number))
    assert going.in_memory == 41 and host.encoded == [FIRST, ADDS, ADDS]
    assert len(sums(going.names[-1])) == 41
    streaming.end(going.run)


@pytest.mark.parametrize("frames", [40, 150])
def test_a_source_is_copied_and_only_its_end_is_read(
    host: Host, tmp_path: Path, frames: int
) -> None:
    source = tmp_path / "source.mp4"
    encoder("libx264_8", 16)(pictures(frames).permute(1, 2, 3, 0).numpy(), source)
    going = start(host, tmp_path, 2, frames)
    read = host.wgp["preprocess_video"](video_in=str(source), max_frames=frames)
    assert len(read) == SHARED
    assert going.run.carry.source.frames == frames
    assert going.run.carry.source.first.shape[1] == 1
    host.encoded.clear()  # the sample
    going.window(torch.cat([read.permute(3, 0, 1, 2), pictures(ADDS, 5)], 1))
    name = going.window(pictures(ADDS, 6))
    streaming.end(going.run)
    assert host.encoded == [ADDS, ADDS]
    assert sums(name)[:frames] == sums(source) and len(sums(name)) == frames + 2 * ADDS


def test_a_source_of_another_kind_is_encoded_once_more_in_pieces(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    source = tmp_path / "source.mp4"
    encoder("libx264_10", 16)(pictures(150).permute(1, 2, 3, 0).numpy(), source)
    going = start(host, tmp_path, 1, 150)
    read = host.wgp["preprocess_video"](video_in=str(source), max_frames=150)
    assert len(read) == SHARED and "another rate or quality" in capsys.readouterr().out
    host.encoded.clear()
    name = going.window(torch.cat([read.permute(3, 0, 1, 2), pictures(ADDS, 5)], 1))
    assert host.encoded == [ADDS, 64, 64, 22] and len(sums(name)) == 150 + ADDS
    assert max(host.read) == 64
    streaming.end(going.run)


def test_grain_is_for_the_new_frames(host: Host, tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    encoder("libx264_8", 16)(pictures(100).permute(1, 2, 3, 0).numpy(), source)
    going = start(host, tmp_path, 1, 100, film_grain_intensity=0.5)
    read = host.wgp["preprocess_video"](video_in=str(source), max_frames=100)
    host.encoded.clear()
    name = going.window(torch.cat([read.permute(3, 0, 1, 2), pictures(ADDS, 5)], 1))
    assert host.encoded == [ADDS] and sums(name)[:100] == sums(source)
    streaming.end(going.run)


RESIZED = {"spatial_upsampling": "lanczos2", "temporal_upsampling": "rife2"}


def resized(sample: Tensor, before: Tensor | None = None) -> Tensor:
    """(3, F, H, W) twice as large, twice as many a second: F frames more, one less at the start."""
    frames = sample if before is None else torch.cat([before, sample], 1)
    frames = frames.repeat_interleave(2, 1)[:, :-1]
    frames = frames if before is None else frames[:, 1:]
    return frames.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize("frames", [40, 150])
def test_a_source_that_was_resized_alike_is_copied(
    host: Host, tmp_path: Path, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wan2gp_svi.video.probe.read_settings", lambda path: RESIZED)
    source = tmp_path / "source.mp4"
    encoder("libx264_8", 32)(resized(pictures(frames)).permute(1, 2, 3, 0).numpy(), source)
    going = start(host, tmp_path, 2, frames, **RESIZED)
    read = host.wgp["preprocess_video"](video_in=str(source), max_frames=frames)
    assert len(read) == SHARED and going.run.carry.source.frames == frames
    host.encoded.clear()
    new = torch.cat([read.permute(3, 0, 1, 2), pictures(ADDS, 5)], 1)
    going.window(resized(new), fps=32)
    name = going.window(resized(pictures(ADDS, 6), new[:, -1:]), fps=32)
    streaming.end(going.run)
    assert host.encoded == [2 * ADDS, 2 * ADDS]
    assert sums(name)[: 2 * frames - 1] == sums(source)
    assert len(sums(name)) == 2 * (frames + 2 * ADDS) - 1


@pytest.mark.parametrize("made", [{}, {"spatial_upsampling": "lanczos2"}])
def test_a_source_that_was_not_resized_alike_is_read_whole(
    host: Host, tmp_path: Path, made: dict, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr("wan2gp_svi.video.probe.read_settings", lambda path: made)
    source = tmp_path / "source.mp4"
    encoder("libx264_8", 16)(pictures(100).permute(1, 2, 3, 0).numpy(), source)
    going = start(host, tmp_path, 1, 100, **RESIZED)
    read = host.wgp["preprocess_video"](video_in=str(source), max_frames=100)
    assert len(read) == 100 and "was not enlarged" in capsys.readouterr().out
    host.encoded.clear()
    whole = torch.cat([read.permute(3, 0, 1, 2), pictures(ADDS, 5)], 1)
    name = going.window(resized(whole), fps=32)
    assert host.encoded == [len(sums(name))] == [2 * (100 + ADDS) - 1]
    streaming.end(going.run)


def test_sound_is_told_how_long_the_source_is(host: Host, tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    encoder("libx264_8", 16)(pictures(100).permute(1, 2, 3, 0).numpy(), source)
    going = start(host, tmp_path, 1, 100)
    read = host.wgp["preprocess_video"](video_in=str(source), max_frames=100)
    assert host.wgp[streaming.SOUND]("x.mp4", len(read) / 16) == 100 / 16
    streaming.end(going.run)
    set_current(None)
    assert host.wgp[streaming.SOUND]("x.mp4", 2.0) == 2.0


def test_what_needs_the_whole_source_gets_it(host: Host, tmp_path: Path) -> None:
    """A control video counts from the source's first frame; its packets are copied all the same."""
    source = tmp_path / "source.mp4"
    encoder("libx264_8", 16)(pictures(100).permute(1, 2, 3, 0).numpy(), source)
    going = start(host, tmp_path, 1, 100, video_guide="guide.mp4")
    read = host.wgp["preprocess_video"](video_in=str(source), max_frames=100)
    assert len(read) == 100
    host.encoded.clear()
    name = going.window(torch.cat([read.permute(3, 0, 1, 2), pictures(ADDS, 5)], 1))
    assert host.encoded == [ADDS] and sums(name)[:100] == sums(source)
    streaming.end(going.run)


def test_other_models_are_saved_as_ever(host: Host, tmp_path: Path) -> None:
    set_current(None)
    frames = pictures(5)
    host.wgp["save_video"](
        tensor=[frames], save_file=str(tmp_path / "a.mp4"), fps=16, codec_type="libx264_8",
        container="mp4",
    )  # fmt: skip
    assert host.encoded == [5]


def test_an_old_pyav_is_said_and_wangp_saves(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(av, "__version__", "13.0.0")
    monkeypatch.setattr(console, "_told", set())
    going = start(host, tmp_path, 2)
    assert "PyAV 13.0.0 is too old" in capsys.readouterr().out
    going.window(pictures(FIRST))
    going.window(pictures(ADDS))
    assert host.encoded == [FIRST, FIRST + ADDS]
    streaming.end(going.run)


def test_a_failed_save_is_a_sentence_and_the_film_stays(host: Host, tmp_path: Path) -> None:
    going = start(host, tmp_path, 2)
    going.window(pictures(FIRST))
    host.fails = True
    with pytest.raises(UserError, match="The 17 frames made before are kept"):
        going.window(pictures(ADDS))
    streaming.end(going.run)
    assert len(sums(going.names[0])) == FIRST
