"""What a user sees of long work: a bar with the time left on a terminal; stdout has the result alone."""

import json
import os
import pty
import subprocess
import sys


def test_a_calibration_on_a_terminal_shows_how_far_it_is_and_leaves_stdout_alone(tmp_path):
    controller, terminal = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "inferkit.cli.main",
        "top",
        "lenet",
        "--precision",
        "int8",
        "--runs",
        "2",
        "--json",
    ]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal, env=environment, cwd=tmp_path) as process:
        os.close(terminal)
        drawn = b""
        while True:
            try:
                part = os.read(controller, 4096)
            except OSError:  # Linux says so that the other end is closed
                break
            if not part:
                break
            drawn += part
        printed = process.stdout.read()
    assert process.returncode == 0, drawn.decode()
    assert "calibration images" in drawn.decode()
    assert json.loads(printed)
    os.close(controller)
