"""The times of high water."""

HIGH_WATER = {"morning": "04:12", "evening": "16:38"}
