"""SVI's training on diffusers' own Wan classes, small and randomly filled: from clips to a LoRA."""

import contextlib
import weakref
from dataclasses import replace

import numpy as np
import pytest
import small_wan
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, WanImageToVideoPipeline
from PIL import Image

from wan2gp_svi import cli
from wan2gp_svi.errors import UserError
from wan2gp_svi.lora import keys
from wan2gp_svi.lora.inspect import inspect_file
from wan2gp_svi.svi.conditioning import condition, padded_video
from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.train import cache as caching
from wan2gp_svi.train import checkpoint, clips, encoders, recycling, svi, tiny, wan, words
from wan2gp_svi.train.recycling import Recipe, Sample

CPU = torch.device("cpu")
FRAMES = 13
QUICK = Recipe(steps=4, rank=2, rate=0.01, capacity=3)


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def cached(wan_folder, clip_folder, tmp_path_factory):
    """(kind, mode) -> an opened cache of the clips, made once."""
    made = {}

    def of(kind, mode):
        if (kind, mode) not in made:
            out = tmp_path_factory.mktemp("cache")
            settings = caching.settings_of(wan_folder(kind), mode, FRAMES, 64, 64, 16)
            assert caching.make(wan_folder(kind), clip_folder, out, settings) == ["short.mp4"]
            made[kind, mode] = caching.open_cache(out)
        return made[kind, mode]

    return of


def train(*about, **settings):
    torch.set_num_threads(1)
    return caching.train(*about, **settings)


# --- from clips to a file ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "mode", "names"),
    [
        ("i2v-2.2", "pro", ["svi-pro-high-noise", "svi-pro-low-noise"]),
        ("i2v-2.1", "unified", ["svi-unified"]),
        ("ti2v-5b", "pro", ["svi-pro"]),
        ("t2v-1.3b", "tom", ["svi-tom"]),
    ],
)
def test_two_commands_make_loras_of_clips(
    wan_folder, clip_folder, tmp_path, capsys, kind, mode, names
):
    model, held, out = str(wan_folder(kind)), str(tmp_path / "cache"), tmp_path / "out"
    make = ["train", "cache", "--model", model, "--clips", str(clip_folder), "--out", held]
    make += ["--mode", mode, "--size", "64x64", "--frames", str(FRAMES), "--threads", "1"]
    assert cli.main(make) == 0
    assert "short.mp4" in capsys.readouterr().out
    go = ["train", "svi", "--model", model, "--cache", held, "--out", str(out), "--threads", "1"]
    assert cli.main([*go, "--steps", "2", "--rank", "2", "--errors", "3", "--clean", "0"]) == 0
    assert sorted(p.stem for p in out.glob("svi-*")) == names
    for name in names:
        report = inspect_file(out / f"{name}.safetensors")
        assert report.formats == ["ComfyUI"] and report.ranks == [2] and report.strength == [1.0]
        tensors, about = checkpoint.load(out / f"{name}.safetensors")
        assert len(tensors) == 2 * 2 * 10  # blocks, A and B, layers of a block
        assert all(bool(t.any()) for t in tensors.values())
        told = about["svi_training"]
        assert told["recipe"]["odds"]["clean"] == 0 and told["recipe"]["steps"] == 2
        assert told["clips"]["mode"] == mode and told["pieces"] == 4
        assert about["modelspec.title"].endswith(f"of Wan-{kind}")


def test_a_lora_has_the_names_of_the_small_worlds(wan_folder):
    real = recycling.add_lora(wan.load(wan_folder("i2v-2.1"), "shared"), wan.TARGETS, 2, 0)
    size = tiny.Size(dim=256, ffn_dim=256, num_heads=2, num_layers=2)
    small = recycling.add_lora(tiny.new_model(size, 0), svi.TARGETS, 2, 0)
    assert {name: p.shape for name, p in real.items()} == {n: p.shape for n, p in small.items()}
    assert all(p.dtype == torch.float32 and p.requires_grad for p in real.values())


@pytest.mark.parametrize("kind", ["i2v-2.1", "ti2v-5b"])
def test_training_that_was_stopped_gives_what_it_would_have_given(
    wan_folder, cached, tmp_path, kind
):
    recipe = replace(QUICK, expert="shared")
    folder, held = wan_folder(kind), cached(kind, "pro")
    whole, _ = checkpoint.load(train(folder, held, recipe, tmp_path / "whole"))
    assert train(folder, held, recipe, tmp_path / "parts", stop_after=2) is None
    parts, _ = checkpoint.load(train(folder, held, recipe, tmp_path / "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_an_expert_is_gone_when_it_is_trained(wan_folder, cached, tmp_path, monkeypatch):
    loaded = []

    def load(*what):
        model = real(*what)
        loaded.append(weakref.ref(model))
        return model

    real = wan.load
    monkeypatch.setattr(wan, "load", load)
    train(wan_folder("i2v-2.2"), cached("i2v-2.2", "pro"), replace(QUICK, steps=1), tmp_path)
    assert [model() for model in loaded] == [None]


# --- the same equations --------------------------------------------------------------------------


def as_diffusers_has_it(small: tiny.TinyWan):
    """The same weights in diffusers' class."""
    size = small.size
    made = small_wan.transformer(
        "i2v-2.2",
        num_attention_heads=size.num_heads,
        ffn_dim=size.ffn_dim,
        num_layers=size.num_layers,
        freq_dim=size.freq_dim,
    )
    state, theirs = small.state_dict(), {}
    for name in made.state_dict():
        module, dot, leaf = name.rpartition(".")
        if leaf not in ("weight", "bias"):
            module, dot, leaf = name, "", ""
        theirs[name] = state[keys.parse(f"{module}.lora_A.weight").module + dot + leaf]
    made.load_state_dict(theirs)
    return made


def small_model():
    size = tiny.Size(dim=128, ffn_dim=64, num_heads=1, num_layers=2, freq_dim=32)
    model = tiny.new_model(size, 0)
    for k, p in enumerate(model.parameters()):
        p.data += 0.1 * rand(*p.shape, seed=k)
    return model


def padded(samples):
    return torch.stack([wan.padded(s.text) for s in samples])


def ask_small(model, x, t, y, samples, told):
    return model(x, t, padded(samples), y)


def world_sample(recipe, number):
    made = svi.sample_of(svi.Recipe(frames=FRAMES, side=32), number)
    return replace(made, text=words.encode(made.text))


def test_both_kinds_of_model_mean_the_same_by_a_velocity():
    small = small_model()
    samples = [world_sample(QUICK, number) for number in range(2)]
    x, y = rand(2, 16, 4, 4, 4), torch.stack([s.y for s in samples])
    t = torch.tensor([981.5, 300.0])
    kind = wan.Kind(16, False, False)
    with torch.no_grad():
        ours = ask_small(small, x, t, y, samples, [True, True])
        theirs = wan.velocity(kind, words.encode(""))(
            as_diffusers_has_it(small), x, t, y, samples, [True, True]
        )
    assert ours.std() > 0.1 and (ours - theirs).abs().max() < 1e-4


def test_both_kinds_of_model_are_trained_alike(tmp_path):
    torch.set_num_threads(1)
    recipe = replace(QUICK, steps=6, batch=2, wordless=0.0, rate=1e-3)
    losses = []
    for name, model, targets, ask in (
        ("small", small_model(), svi.TARGETS, ask_small),
        (
            "diffusers",
            as_diffusers_has_it(small_model()),
            wan.TARGETS,
            wan.velocity(wan.Kind(16, False, False), words.encode("")),
        ),
    ):
        lora = recycling.add_lora(model, targets, 2, 0)
        out = tmp_path / name
        path = recycling.train(model, lora, ask, world_sample, recipe, out, name, every=1)
        losses.append([v for _, v in checkpoint.load(path)[1]["svi_training"]["losses"]])
    assert losses[0] == pytest.approx(losses[1], rel=0.02) and losses[0][0] > 0.1


@pytest.mark.parametrize("kind", ["i2v-2.2", "i2v-2.1", "ti2v-5b"])
def test_a_model_is_asked_as_diffusers_pipeline_asks_it(wan_folder, kind):
    """SVI-Tom's y is what any image-to-video pipeline gives its model: first frame, then grey."""
    folder, layout = wan_folder(kind), wan.kind_of(wan_folder(kind))
    text, no_words = rand(5, small_wan.TEXT_DIM), rand(1, small_wan.TEXT_DIM, seed=1)
    image = Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 60).convert("RGB")
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[:, None]
    first = pixels.float() / 127.5 - 1
    picture = rand(5, small_wan.PICTURE_DIM) if layout.picture else None
    transformer = small_wan.transformer(kind)
    asked = []
    transformer.register_forward_hook(
        lambda _, __, given, out: asked.append((given, out[0])), with_kwargs=True
    )
    pipeline = WanImageToVideoPipeline(
        small_wan.tokenizer(),
        None,
        small_wan.vae(kind),
        FlowMatchEulerDiscreteScheduler(shift=5.0),
        transformer=transformer,
        expand_timesteps=layout.in_place,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.encode_image = lambda _, __: picture[None]
    channels, side = layout.channels, 64 // encoders.stride(folder)
    noise = rand(1, channels, 4, side, side)
    pipeline(
        image,
        height=64,
        width=64,
        num_frames=FRAMES,
        num_inference_steps=2,
        guidance_scale=1.0,
        latents=noise,
        prompt_embeds=wan.padded(text)[None],
        output_type="latent",
    )
    scheduler = pipeline.scheduler
    assert torch.allclose(scheduler.timesteps, 1000 * scheduler.sigmas[:-1])

    vae = encoders.vae_encoder(folder, CPU)
    y = condition(vae(padded_video(first, None, FRAMES, 0)), FRAMES)
    sample = Sample(torch.zeros(channels, 4, side, side), y, text, (0, 3), 1, picture)
    sigma = scheduler.sigmas[1]  # of the second step; its x is where the first one led
    t = 1000 * sigma[None]
    x = noise + (sigma - scheduler.sigmas[0]) * asked[0][1]
    if layout.in_place:
        x, t, _ = recycling.put_in_place(x, t, y[None], [sample])
    given, theirs = asked[1]
    fresh = small_wan.transformer(kind)
    seen = []
    fresh.register_forward_hook(lambda _, said, __: seen.append(said))
    with torch.no_grad():
        ours = wan.velocity(layout, no_words)(fresh, x, t, y[None], [sample], [True])
    for mine, name in zip(
        seen[0], ("hidden_states", "timestep", "encoder_hidden_states"), strict=False
    ):
        assert torch.allclose(mine, given[name], atol=1e-4), name
    assert torch.allclose(ours, theirs, atol=1e-3)


def test_what_is_known_in_place_is_neither_noised_nor_asked_for():
    samples = [
        Sample(torch.zeros(3, 4, 2, 2), torch.zeros(7, 4, 2, 2), "", (1, k), k) for k in (1, 2)
    ]
    x, y, t = rand(2, 3, 4, 2, 2), rand(2, 7, 4, 2, 2, seed=1), torch.tensor([800.0, 300.0])
    put, at, where = recycling.put_in_place(x, t, y, samples)
    assert at.tolist() == [[0, 800, 800, 800], [0, 0, 300, 300]]
    for i, k in enumerate((1, 2)):
        assert torch.equal(put[i, :, :k], y[i, 4:, :k]) and torch.equal(put[i, :, k:], x[i, :, k:])
        assert where[i, 0, :, 0, 0].tolist() == [n >= k for n in range(4)]


def test_a_lora_learns_nothing_from_where_the_model_is_not_asked(wan_folder, cached, tmp_path):
    """A model that says other things on the known latents alone gets the same LoRA."""
    held = cached("ti2v-5b", "pro")
    recipe = replace(QUICK, expert="shared")
    plain = wan.velocity(held.settings.kind, held.no_words)

    def other(model, x, t, y, samples, told):
        known = (t == 0)[:, None, :, None, None]
        return plain(model, x, t, y, samples, told) + 100.0 * known

    made = []
    for name, ask in (("plain", plain), ("other", other)):
        model = wan.load(wan_folder("ti2v-5b"), "shared")
        lora = recycling.add_lora(model, wan.TARGETS, 2, 0)
        sample = caching.sampler(held)
        path = recycling.train(
            model, lora, ask, sample, recipe, tmp_path / name, "it", in_place=True
        )
        made.append(checkpoint.load(path)[0])
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])


# --- the cache -----------------------------------------------------------------------------------


def test_pros_samples_are_anchor_and_motion_and_first_windows(wan_folder, clip_folder, cached):
    held = cached("i2v-2.1", "pro")
    vae = encoders.vae_encoder(wan_folder("i2v-2.1"), CPU)
    clip = encoders.clip_encoder(wan_folder("i2v-2.1"), CPU)
    frames = {
        path.stem: clips.frames(path, 16, 64, 64).float() / 127.5 - 1
        for path, _ in clips.captioned(clip_folder)
    }
    anchors = {
        stem: [vae(video[:, i : i + 1]) for i in range(video.shape[1])]
        for stem, video in frames.items()
    }
    kinds = set()
    for number in range(12):
        sample = caching.sampler(held)(replace(QUICK, opening=0.4), number)
        given = sample.y[4:]
        opening = sample.handed_over == (1, 1)
        kinds.add(opening)
        n = 1 if opening else 2
        assert torch.equal(given[:, :n], sample.latents[:, :n]) and not given[:, n:].any()
        assert sample.known == n and sample.y[:4, 0].eq(1).all() and not sample.y[:4, 1:].any()
        frame = next(
            video[:, i : i + 1]
            for stem, video in frames.items()
            for i in range(video.shape[1])
            if torch.allclose(anchors[stem][i], given[:, :1], atol=1e-5)
        )
        assert torch.allclose(sample.picture, clip(frame), atol=1e-5)
    assert kinds == {True, False}


@pytest.mark.parametrize("mode", ["shot", "film", "tom", "unified"])
def test_the_other_modes_start_from_frames(wan_folder, clip_folder, mode):
    vae = encoders.vae_encoder(wan_folder("i2v-2.2"), CPU)
    settings = caching.settings_of(wan_folder("i2v-2.2"), mode, FRAMES, 64, 64, 16)
    video = clips.frames(clip_folder / "long.mp4", 16, 64, 64)
    piece = clips.pieces(video.shape[1], FRAMES)[1]
    held = caching.encode_piece(video, piece, settings, vae, None)
    told = MODES[mode]
    pixels = video.float() / 127.5 - 1
    seen = pixels[:, piece.start : piece.start + FRAMES]
    assert torch.allclose(held["latents"], vae(seen), atol=1e-5)
    assert len(held["references"]) == (3 if told.ref_pad_num else 1)
    for reference, shown in zip(piece.references, held["references"], strict=False):
        rest = FRAMES - told.motion_frames
        padding = pixels[:, reference : reference + 1].expand(-1, rest, -1, -1)
        if not told.ref_pad_num:
            padding = torch.zeros_like(padding)
        expected = vae(torch.cat([seen[:, : told.motion_frames], padding], dim=1))
        assert torch.allclose(shown, expected, atol=1e-5)


def test_a_cache_that_was_stopped_goes_on_with_what_is_missing(
    wan_folder, clip_folder, tmp_path, monkeypatch
):
    folder = wan_folder("t2v-1.3b")
    settings = caching.settings_of(folder, "pro", FRAMES, 64, 64, 16)
    encoded = []
    real = caching.encode_piece

    def stopping(video, piece, *rest):
        if len(encoded) == 2:
            raise KeyboardInterrupt
        encoded.append(piece.start)
        return real(video, piece, *rest)

    monkeypatch.setattr(caching, "encode_piece", stopping)
    with contextlib.suppress(KeyboardInterrupt):
        caching.make(folder, clip_folder, tmp_path, settings)
    assert len(caching.open_cache(tmp_path).pieces) == 2
    encoded.clear()
    caching.make(folder, clip_folder, tmp_path, settings)
    assert len(encoded) == 2 and len(caching.open_cache(tmp_path).pieces) == 4
    with pytest.raises(UserError, match="other settings"):
        caching.make(folder, clip_folder, tmp_path, replace(settings, fps=8))


def test_clips_that_are_all_too_short_are_said_to_be(wan_folder, clip_folder, tmp_path):
    settings = caching.settings_of(wan_folder("t2v-1.3b"), "pro", 81, 64, 64, 16)
    with pytest.raises(UserError, match="longer than 81 frames"):
        caching.make(wan_folder("t2v-1.3b"), clip_folder, tmp_path, settings)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "mode", "frames", "size", "said"),
    [
        ("ti2v-5b", "shot", 13, (64, 64), "pro, film and tom"),
        ("i2v-2.1", "talk", 13, (64, 64), "modules"),
        ("i2v-2.1", "pr0", 13, (64, 64), "no SVI mode"),
        ("i2v-2.1", "pro", 14, (64, 64), r"4k\+1"),
        ("ti2v-5b", "pro", 13, (64, 48), "multiples of 32"),
    ],
)
def test_what_does_not_go_together_is_refused(wan_folder, kind, mode, frames, size, said):
    with pytest.raises(UserError, match=said):
        caching.settings_of(wan_folder(kind), mode, frames, *size, 16)


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"transformer/config\.json"):
        wan.kind_of(tmp_path)
    (tmp_path / "transformer").mkdir()
    told = tmp_path / "transformer" / "config.json"
    told.write_text(
        '{"_class_name": "WanTransformer3DModel", "in_channels": 20, "out_channels": 16}'
    )
    with pytest.raises(UserError, match="20 channels in"):
        wan.kind_of(tmp_path)


def test_a_cache_of_another_model_is_refused(wan_folder, cached, tmp_path, capsys):
    held = cached("ti2v-5b", "pro").pieces[0].parent
    go = ["train", "svi", "--out", str(tmp_path), "--model", str(wan_folder("i2v-2.2"))]
    assert cli.main([*go, "--cache", str(held)]) == 2
    assert "another kind of model" in capsys.readouterr().err
    assert cli.main(go) == 2
    assert "go together" in capsys.readouterr().err
