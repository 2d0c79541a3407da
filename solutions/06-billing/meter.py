"""The billed time of one instance."""


def billed_seconds(intervals: list[tuple[float, float]]) -> float:
    """Return the billed seconds of one instance from (opened, closed) of each of its connections, in seconds.

    The instance is billed while at least one connection is open. Overlapping connections count once. The list can be in
    any order, or empty.
    """
    # 6.1: go through the intervals in order of opening, and store the time up to which you have counted.
    billed, until = 0.0, float("-inf")
    for opened, closed in sorted(intervals):
        billed += max(0.0, closed - max(opened, until))
        until = max(until, closed)
    return billed
