"""The plain form of the views and verdicts: ASCII, in lines that fit beside JupyterLab's side bar."""

WIDTH = 76  # columns


def to_ascii(text: str) -> str:
    """Return the text with an escape for each character that is not ASCII."""
    return text.encode("ascii", "backslashreplace").decode()


def cut(line: str) -> str:
    """Return the line, with "..." at its end if it was longer than `WIDTH`."""
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..."
