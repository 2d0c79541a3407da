"""High water, by the hour of the clock."""

HIGH_WATER = {"morning": "04:12", "evening": "16:38"}
