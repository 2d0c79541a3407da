"""The tour does the main job from end to end, says what it does, and fails in one line."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def tour(cwd: Path, temporary: Path) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("FCLOCAL_")}
    env["TMPDIR"] = str(temporary)
    return subprocess.run([sys.executable, "-m", "workshop.tour"], cwd=cwd, env=env, capture_output=True, text=True,
                          timeout=60)


def test_the_tour_shows_url_timeline_and_bill_and_leaves_nothing(tmp_path: Path) -> None:
    done = tour(ROOT, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert re.search(r"https://localhost:\d+", done.stdout)
    assert re.findall(r"\[(\d)/5\]", done.stdout) == ["1", "2", "3", "4", "5"]
    assert "TIMELINE  echo" in done.stdout and "billed" in done.stdout
    assert done.stdout.isascii()
    assert max(map(len, done.stdout.splitlines())) <= 76
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_fails_ends_the_tour_with_one_line_and_a_cure(tmp_path: Path) -> None:
    kit, temporary = tmp_path / "kit", tmp_path / "tmp"
    temporary.mkdir()
    (kit / "notebooks").mkdir(parents=True)
    shutil.copytree(ROOT / "functions" / "01-echo", kit / "functions" / "01-echo")
    main = kit / "functions" / "01-echo" / "main.py"
    main.write_text(main.read_text("utf-8").replace("connection.send(message)", 'connection.send("something else")'))
    done = tour(kit, temporary)
    assert done.returncode == 1
    assert "[3/5]" in done.stdout and "[5/5]" in done.stdout
    assert "sent 'good morning', received 'something else'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(temporary.iterdir()) == []
