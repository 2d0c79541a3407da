"""Slides from the cells of the notebooks."""
