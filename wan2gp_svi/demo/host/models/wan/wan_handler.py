"""What the application asks about a model before it loads it."""

from __future__ import annotations


def test_class_i2v(base_model_type: str) -> bool:
    return base_model_type in ["i2v_2_2"]


class family_handler:
    """Static facts about the Wan models of this host: plain image-to-video, nothing else."""

    @staticmethod
    def query_supported_types() -> list[str]:
        return ["i2v_2_2"]

    @staticmethod
    def query_family_maps() -> tuple[dict[str, str], dict[str, list[str]]]:
        """Which types are equal to which, and whose settings fit whom."""
        return {}, {}

    @staticmethod
    def query_model_family() -> str:
        return "wan"

    @staticmethod
    def query_model_def(base_model_type: str, model_def: dict) -> dict:
        """What is to be added to the definition that was read from JSON."""
        return {
            "i2v_class": test_class_i2v(base_model_type),
            "fps": 16,
            "frames_minimum": 5,
            "frames_steps": 4,
            "sliding_window": True,
            "multiple_submodels": True,
            "guidance_max_phases": 2,
            "image_prompt_types_allowed": "SEVL",
            "sliding_window_defaults": {
                "overlap_min": 1,
                "overlap_max": 1,
                "overlap_step": 0,
                "overlap_default": 1,
            },
        }

    @staticmethod
    def update_default_settings(base_model_type: str, model_def: dict, ui_defaults: dict) -> None:
        ui_defaults.update({"sliding_window_size": 33, "sliding_window_overlap": 1})

    @staticmethod
    def validate_generative_settings(
        base_model_type: str, model_def: dict, inputs: dict
    ) -> str | None:
        """A sentence if these settings cannot be generated from, else None."""
        goes_on = inputs["video_source"] is not None or "L" in inputs["image_prompt_type"]
        if inputs["image_start"] is None and not goes_on:
            return "Image-to-video needs a start image, or a video to continue."
        return None

    @staticmethod
    def load_model(model_filename, model_type, base_model_type, model_def, **_others):
        """The pipeline, and its parts by name."""
        from models.wan.any2video import WanAny2V

        pipeline = WanAny2V(model_def)
        return pipeline, {"transformer": pipeline.model, "transformer2": pipeline.model2}
