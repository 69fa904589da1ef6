"""nmt-reproduce render: reports written again from their JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import nmt
from bpe.errors import UserError
from nmt.cli.common import Parser
from nmt.report.document import Heading
from nmt.report.restore import restored
from nmt.reproduce.report import write_report
from nmt.reproduce.results import Results
from nmt.reproduce.similarity import Study, study_parts
from nmt.reproduce.table8 import EMBEDDINGS

PROG = "nmt-reproduce render"
DESCRIPTION = """Write Table 8's report again, Markdown, HTML and pictures, from the report.json of an earlier one: its
numbers as this version shows them. No model and no text is needed."""


def command(argv: list[str]) -> None:
    """Parse, read, write."""
    parser = Parser(prog=PROG, description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"{PROG} {nmt.__version__}")
    parser.add_argument("reports", nargs="+", metavar="FILE", help="report.json of nmt-reproduce table8")
    for name in parser.parse_args(argv).reports:
        path = Path(name)
        body = read(path)
        try:
            results = restored(Results, body)
            study = restored(Study, body["embeddings"]) if body.get("embeddings") else None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"not a report of Table 8 ({error})", where=path) from None
        more = [Heading(EMBEDDINGS), *study_parts(study, level=3)] if study else []
        write_report(results, path.parent, more, body.get("embeddings"))
        print(f"written: {path.parent}", file=sys.stderr)


def read(path: Path) -> dict[str, Any]:
    """The JSON object of a file."""
    try:
        body = json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=path) from None
    except ValueError:
        raise UserError("not JSON", where=path, hint="name the report.json of nmt-reproduce table8") from None
    if not isinstance(body, dict):
        raise UserError("not a report of Table 8", where=path)
    return body
