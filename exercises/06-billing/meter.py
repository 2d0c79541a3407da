"""What one instance is billed for."""


def billed_seconds(intervals: list[tuple[float, float]]) -> float:
    """Billed seconds of one instance, given (opened, closed) of each of its connections, in seconds.

    From the first connection in to the last one out; what overlaps counts once; while there is no connection, nothing
    counts. The list may be in any order, and empty.
    """
    # TODO 6.1: go through the intervals in order of opening, and remember until when you have counted.
    ...  # <- your code here
    # end of 6.1
