"""The replies to messages."""

REPLIES = {"morning": "good morning", "evening": "good evening"}
