"""The plugin that installing wan2gp-svi puts here."""
