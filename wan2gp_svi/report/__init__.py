"""What SVI plans and what came of it, as tables, pictures and JSON."""
