"""nmt-serve: model folders behind LibreTranslate's API, and a page to try them on."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bpe.errors import UserError
from nmt.cli.common import FLAGS, make_parser, overrides, run
from nmt.cli.searching import KEYS, check_set
from nmt.config import Config, SearchConfig, ServeConfig
from nmt.configfile import Values, build_config, flatten
from nmt.conversion.exported import read_export
from nmt.device import keep_freed_memory, num_threads, pick_device, set_threads
from nmt.folder.bundle import Bundle, load_bundle
from nmt.packages import import_package
from nmt.translate.translator import Translator

if TYPE_CHECKING:
    import torch

    from nmt.serve.models import Served

PROG = "nmt-serve"
DESCRIPTION = """Serve model folders of nmt-train over HTTP, and what nmt-export made of them for CTranslate2, with
LibreTranslate's API and a page at /. Texts are cut into sentences. Search settings default to each model's own."""
PACKAGES = ("starlette", "uvicorn", "python_multipart")
SAMPLING = ("search.temperature", "search.top_k", "search.top_p", "search.seed")
LEFT_OUT = ("paths.model", "search.language_model", "search.language_model_weight", *SAMPLING)
OWN_KEYS = [f"serve.{field.name}" for field in dataclasses.fields(ServeConfig)]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(PROG, command, argv)


def command(argv: list[str]) -> None:
    """Parse and call."""
    keys = [key for key in (*OWN_KEYS, *KEYS) if key in FLAGS and key not in LEFT_OUT]
    parser = make_parser(PROG, DESCRIPTION, keys)
    help_ = "model folder; several as NAME=DIR, a name of your choice for each (default: model)"
    parser.add_argument(
        "--model", nargs="+", action="extend", default=[], metavar="[NAME=]DIR", dest="models", help=help_
    )
    help_ = "folder of nmt-export --to ctranslate2, which CTranslate2 searches; several as NAME=DIR"
    parser.add_argument(
        "--export", nargs="+", action="extend", default=[], metavar="[NAME=]DIR", dest="exports", help=help_
    )
    arguments = parser.parse_args(argv)
    for package in PACKAGES:
        import_package(package, PROG)
    check_set(arguments)
    config = build_config(overrides(arguments))
    device = pick_device(config.runtime.device)
    settings = with_threads(config, device)
    served = _load(arguments, device, settings.searches)

    from nmt.serve.app import make_app
    from nmt.serve.models import Models
    from nmt.serve.running import run_server

    app = make_app(Models(served), settings)
    pairs = ", ".join(f"{one.name} ({one.source} to {one.target})" for one in served)

    def announce(address: str) -> None:
        if not arguments.quiet:
            print(f"{PROG}: {address} serves {pairs}; Ctrl-C ends it", file=sys.stderr, flush=True)

    run_server(app, settings, announce)


def with_threads(config: Config, device: torch.device) -> ServeConfig:
    """Share the threads among as many searches as they allow; the settings with their number."""
    threads = set_threads(config.runtime.threads)
    searches = min(config.serve.searches, threads) if device.type == "cpu" else 1
    set_threads(threads // searches)
    return dataclasses.replace(config.serve, searches=searches)


def _load(arguments: argparse.Namespace, device: torch.device, searches: int) -> list[Served]:
    """The models that are asked for, ready to be searched."""
    from nmt.serve.exports import ComputeChoice, ServedExport
    from nmt.serve.models import ServedModel

    values = overrides(arguments)
    asked = build_config(values)
    keep_freed_memory()
    served: list[Served] = []
    models, exports = _named(arguments, asked.paths.model)
    for name, folder in models.items():
        translator = translator_of(load_bundle(folder, device), values)
        _tell(arguments, name, translator.searcher.note)
        served.append(ServedModel(name, translator))
    precision = asked.search.precision if "search.precision" in values else None
    computing = ComputeChoice(device=device, searches=searches, threads=num_threads(), precision=precision)
    for name, folder in exports.items():
        exported = read_export(folder)
        export = ServedExport(name, folder, exported, search_of(exported.search, folder, values), computing)
        _tell(arguments, name, export.note)
        served.append(export)
    return served


def _tell(arguments: argparse.Namespace, name: str, note: str) -> None:
    """Why a model computes in another precision than asked for."""
    if note and not arguments.quiet:
        print(f"{PROG}: {name}: search.precision: {note}", file=sys.stderr)


def _named(arguments: argparse.Namespace, default: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """Folders by name, of models and of exports: NAME=DIR, or DIR, which is called by its own name."""
    found: tuple[dict[str, Path], dict[str, Path]] = ({}, {})
    models = arguments.models or ([] if arguments.exports else [default])
    for flag, words, named in zip(("--model", "--export"), (models, arguments.exports), found, strict=True):
        for word in words:
            name, equals, folder = word.partition("=")
            if not equals or "/" in name:
                name, folder = Path(word).resolve().name, word
            if not folder:
                raise UserError(f"{word!r} names no folder", where=flag, hint="give it as NAME=DIR or DIR")
            if not name or name in found[0] or name in found[1]:
                problem = f"two models are called {name!r}" if name else "a model without a name"
                raise UserError(problem, where=flag, hint="give each its own: NAME=DIR")
            named[name] = Path(folder)
    return found


def translator_of(bundle: Bundle, values: Values) -> Translator:
    """A model folder that is searched as `search_of` says."""
    return Translator(bundle, search_of(bundle.config.search, bundle.folder, values))


def search_of(own: SearchConfig, folder: Path, values: Values) -> SearchConfig:
    """A folder's own search settings and then the user's; texts are cut into sentences unless those say no."""
    kept = flatten({"search": dataclasses.asdict(own)}, str(folder))
    search = build_config(kept | {"search.split_sentences": True}, values).search
    if search.sampling:
        raise UserError("a server draws no translations at random", where="search.sampling", hint="leave it out")
    if search.language_model is not None:
        problem = "a server translates without a language model"
        raise UserError(problem, where="search.language_model", hint="leave it out")
    return search


if __name__ == "__main__":
    sys.exit(main())
