"""A video of small frames, with a comment as WanGP writes one."""

from __future__ import annotations

from pathlib import Path

import av

SIDE = 32


def write_video(path: Path, comment: str | None, frames: int = 1) -> None:
    """`path`: its ending names the container."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=16)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        if comment is not None:
            container.metadata["comment"] = comment
        for frame in [*(av.VideoFrame(SIDE, SIDE, "yuv420p") for _ in range(frames)), None]:
            container.mux(stream.encode(frame))
