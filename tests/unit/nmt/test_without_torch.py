"""What needs no tensors does not load torch: it costs a second and 200 MB at every start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.prep_corpus import write_corpus

PARSERS = {
    "nmt-prep": "from nmt.cli.prep import main\nassert main(['--version']) == 0",
    "nmt-lm prep": "from nmt.cli.lm import main\nassert main(['prep', '--no-such-flag']) == 2",
    "nmt-data": "from nmt.cli.data import main\nassert main(['list']) == 0",
}
END = "\nimport sys\nassert 'torch' not in sys.modules, 'torch was loaded'"


def run(program: str) -> None:
    found = subprocess.run([sys.executable, "-c", program + END], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("command", PARSERS)
def test_parsing_a_command_line(command: str) -> None:
    run(PARSERS[command])


def test_preparing_a_corpus(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus")
    words = ["--corpus", str(tmp_path / "corpus"), "--prepared", str(tmp_path / "prepared"), "--joint-bpe", "20"]
    run(f"from nmt.cli.prep import main\nassert main({[*words, '--quiet']!r}) == 0")
    assert (tmp_path / "prepared/manifest.json").exists()
