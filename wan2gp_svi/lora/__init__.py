"""LoRA files: their key formats, what they are for, and their conversion. Needs no torch."""

from wan2gp_svi.lora.selection import check_selection

__all__ = ["check_selection"]
