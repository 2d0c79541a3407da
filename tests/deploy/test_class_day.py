"""A day of a class on JupyterHub, with a real hub, its proxy and Chromium."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs root, for network namespaces")
def test_six_learners_pass_lesson_1_meet_in_one_room_and_reach_nothing_of_each_other() -> None:
    day = subprocess.run([sys.executable, Path(__file__).with_name("class_day.py"), "--learners", "6"],
                         capture_output=True, text=True)
    assert day.returncode == 0, day.stderr[-6000:]
    used = json.loads(day.stdout)
    assert len(used) == 6
    assert max(learner["peak"] for learner in used.values()) < 1000  # MB, the limit of values.yaml
