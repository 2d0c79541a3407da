"""Requests: admitted, given a place, carried, and ended."""
