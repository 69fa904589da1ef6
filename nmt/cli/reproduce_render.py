"""nmt-reproduce render: reports written again from their JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nmt
from bpe.errors import UserError
from nmt.cli.common import Parser
from nmt.report.document import Heading
from nmt.report.restore import restored
from nmt.reproduce import gradients, table3, table4, table7
from nmt.reproduce.gradients_report import write_gradients
from nmt.reproduce.language.report import write_language_report
from nmt.reproduce.language.results import LanguageResults
from nmt.reproduce.report import write_report
from nmt.reproduce.results import Results
from nmt.reproduce.similarity import Study, study_parts
from nmt.reproduce.table3_report import write_table3
from nmt.reproduce.table4_report import write_table4
from nmt.reproduce.table7_report import write_table7
from nmt.reproduce.table8 import EMBEDDINGS
from nmt.reproduce.whole import page
from nmt.reproduce.whole.report import write_paper

PROG = "nmt-reproduce render"
DESCRIPTION = """Write a table's report again, Markdown, HTML and pictures, from the JSON of an earlier one: its numbers
as this version shows them. No model and no text is needed. Reports of Tables 3 to 8, of
gradients and of the whole paper can be written again."""


def command(argv: list[str]) -> None:
    """Parse, read, write."""
    parser = Parser(prog=PROG, description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"{PROG} {nmt.__version__}")
    parser.add_argument("reports", nargs="+", metavar="FILE", help="report.json, table3.json and the like")
    for name in parser.parse_args(argv).reports:
        path = Path(name)
        body = read(path)
        try:
            write = WRITERS[kind_of(body)]
            write(body, path.parent)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"not a report that can be written again ({error})", where=path) from None
        print(f"written: {path.parent}", file=sys.stderr)


def kind_of(body: dict[str, Any]) -> str:
    """What a report is of: its own format or, of reports that have none, what they hold."""
    return str(body.get("format") or ("language" if "claims" in body else "table8"))


def write_table8(body: dict[str, Any], folder: Path) -> None:
    """Table 8's, with what it says of embeddings."""
    results = restored(Results, body)
    study = restored(Study, body["embeddings"]) if body.get("embeddings") else None
    more = [Heading(EMBEDDINGS), *study_parts(study, level=3)] if study else []
    write_report(results, folder, more, body.get("embeddings"))


WRITERS: dict[str, Callable[[dict[str, Any], Path], object]] = {
    "table8": write_table8,
    "language": lambda body, folder: write_language_report(restored(LanguageResults, body), folder),
    table3.FORMAT: lambda body, folder: write_table3(restored(table3.Table3, body), folder),
    table4.FORMAT: lambda body, folder: write_table4(restored(table4.Table4, body), folder),
    table7.FORMAT: lambda body, folder: write_table7(restored(table7.Table7, body), folder),
    gradients.FORMAT: lambda body, folder: write_gradients(restored(gradients.GradientStudy, body), folder),
    page.FORMAT: lambda body, folder: write_paper(restored(page.WholePaper, body), folder),
}
"By what a report is of."


def read(path: Path) -> dict[str, Any]:
    """The JSON object of a file."""
    try:
        body = json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=path) from None
    except ValueError:
        raise UserError("not JSON", where=path, hint="name the report.json of nmt-reproduce") from None
    if not isinstance(body, dict):
        raise UserError("not a report", where=path, hint="name the report.json of nmt-reproduce")
    return body
