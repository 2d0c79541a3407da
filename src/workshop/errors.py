"""The error of the workshop's own tools."""


class UserError(Exception):
    """A mistake that the learner can correct: one sentence and one fix. It is printed, never shown as a traceback."""

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.message, self.cure = message, cure
