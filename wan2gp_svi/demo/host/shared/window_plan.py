"""How a long video is cut into windows, for models without a plan of their own."""

from __future__ import annotations


def floor_frame_count(frames: int, minimum: int, step: int, offset: int = 1) -> int:
    """The largest step*k + offset that is not above `frames`, at least `minimum`."""
    return max(minimum, (frames - offset) // step * step + offset)


def build_default_window_plan(
    *,
    total_frames: int,
    window_size: int,
    default_overlap: int,
    discard_last_frames: int,
    minimum: int,
    step: int,
    frame_offset: int = 1,
    overlap_offset: int = 1,
    max_overlap: int | None = None,
) -> list[dict]:
    """One dictionary a window; together their `output_frames` are `total_frames`.

    `frame_num` frames are generated: `overlap_frames` at the front repeat the window before,
    `discard_last_frames` and `trim_last_frames` at the back go.
    """
    if max_overlap is not None:
        default_overlap = min(default_overlap, max_overlap)
    windows: list[dict] = []
    left = total_frames
    while left > 0:
        overlap = default_overlap if windows else 0
        discard = discard_last_frames if left > window_size - overlap else 0
        output = min(left, max(1, window_size - overlap - discard))
        needed = max(minimum, overlap + output + discard)
        frame_num = -(-(needed - frame_offset) // step) * step + frame_offset
        windows.append(
            {
                "frame_num": frame_num,
                "output_frames": output,
                "overlap_frames": overlap,
                "discard_last_frames": discard,
                "trim_last_frames": frame_num - overlap - output - discard,
            }
        )
        left -= output
    return windows
