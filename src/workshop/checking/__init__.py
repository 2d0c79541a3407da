"""What `checks.py` of an exercise is written with (see `workshop.exercises`)."""

from workshop.checking.client import PATIENCE, Client, Response, Unexpected, preview
from workshop.checking.target import Findings, Finished, Mistake, Returned, Step, Target, step

__all__ = ["PATIENCE", "Client", "Findings", "Finished", "Mistake", "Response", "Returned", "Step", "Target",
           "Unexpected", "preview", "step"]
