"""Recorders around a tiny pipeline: what each window was given, and what came out of it."""

import time
from typing import Any

import torch


class Recorder:
    """Records of each generate(): y, noise (first 5-D randn), model calls, latents, frames."""

    def __init__(self, pipe):
        self.pipe = pipe
        self.windows: list[dict] = []
        self.cur: Any = None
        rec = self
        orig_gen = pipe.generate

        def generate(*a, **k):
            rec.cur = {
                "kwargs": {
                    x: (
                        v
                        if isinstance(v, (int, float, str, bool, type(None), slice, list))
                        and not (isinstance(v, list) and len(v) > 8)
                        else (tuple(v.shape) if torch.is_tensor(v) else type(v).__name__)
                    )
                    for x, v in k.items()
                },
                "models": [],
                "timesteps": [],
            }
            real = torch.randn

            def randn(*s, **kw):
                t = real(*s, **kw)
                if t.dim() == 5 and "noise" not in rec.cur:
                    rec.cur["noise"] = t.clone()
                return t

            torch.randn = randn
            t0 = time.time()
            try:
                r = orig_gen(*a, **k)
            finally:
                torch.randn = real
            rec.cur["seconds"] = time.time() - t0
            if isinstance(r, dict):
                x = r["x"]
                rec.cur["frames"] = x.clone() if torch.is_tensor(x) else x
                rec.cur["latent_slice"] = r.get("latent_slice")
                rec.cur["post_decode_pre_trim"] = r.get("post_decode_pre_trim", 0)
            rec.windows.append(rec.cur)
            return r

        pipe.generate = generate
        for tag in ("model", "model2"):
            m = getattr(pipe, tag)
            if m is None:
                continue

            def hook(mod, args, kw, tag=tag):
                c = rec.cur
                if c is None:
                    return
                c["models"].append(tag)
                c["timesteps"].append(float(kw["t"].flatten()[0]))
                if "y" in kw and "y" not in c and torch.is_tensor(kw["y"]):
                    c["y"] = kw["y"].clone()
                c.setdefault("x_in", []).append(kw["x"][0].clone())
                c.setdefault("t_in", []).append(kw["t"].flatten().clone())

            m.register_forward_pre_hook(hook, with_kwargs=True)
        vae = pipe.vae
        for n in ("decode", "decode_to_cpu_uint8"):
            if hasattr(vae, n):
                decode = getattr(vae, n)

                def dec(zs, *a, _o=decode, **k):
                    if rec.cur is not None:
                        rec.cur["latents"] = zs[0].clone()
                    pictures = _o(zs, *a, **k)
                    if rec.cur is not None:
                        rec.cur["decoded"] = pictures[0].clone()
                    return pictures

                setattr(vae, n, dec)


def count_encodes(pipe):
    """What the VAE encodes goes into `pipe.seen`, its latents into `pipe.encodings`."""
    real = pipe.vae.model.encode

    def encode(x, *a, **k):
        pipe.encoded.append(int(x.shape[2]))
        z = real(x, *a, **k)
        pipe.encodings.append(z[0].clone())
        pipe.seen.append(x[0].clone())
        return z

    pipe.vae.model.encode = encode
