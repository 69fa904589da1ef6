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
from nmt.config import Config, ServeConfig
from nmt.configfile import Values, build_config, flatten
from nmt.device import keep_freed_memory, pick_device, set_threads
from nmt.folder.bundle import Bundle, load_bundle
from nmt.packages import import_package
from nmt.translate.translator import Translator

if TYPE_CHECKING:
    import torch

    from nmt.serve.models import Served

PROG = "nmt-serve"
DESCRIPTION = """Serve model folders of nmt-train over HTTP, with LibreTranslate's API and a page at /. Texts are cut
into sentences. Search settings default to each model's own."""
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
    arguments = parser.parse_args(argv)
    for package in PACKAGES:
        import_package(package, PROG)
    check_set(arguments)
    config = build_config(overrides(arguments))
    device = pick_device(config.runtime.device)
    settings = with_threads(config, device)
    served = _load(arguments, device)

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


def _load(arguments: argparse.Namespace, device: torch.device) -> list[Served]:
    """The models that are asked for, ready to be searched."""
    from nmt.serve.models import Served

    values = overrides(arguments)
    asked = build_config(values)
    keep_freed_memory()
    served = []
    for name, folder in _named(arguments.models or [asked.paths.model]).items():
        translator = translator_of(load_bundle(Path(folder), device), values)
        if translator.searcher.note and not arguments.quiet:
            print(f"{PROG}: {name}: search.precision: {translator.searcher.note}", file=sys.stderr)
        served.append(Served(name=name, translator=translator))
    return served


def _named(words: Sequence[str]) -> dict[str, str]:
    """Folders by name: NAME=DIR, or DIR, which is called by its own name."""
    named: dict[str, str] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        if not equals or "/" in name:
            name, folder = Path(word).resolve().name, word
        if not name or name in named:
            hint = "give each its own: NAME=DIR"
            raise UserError(
                f"two models are called {name!r}" if name else "a model without a name", where="--model", hint=hint
            )
        named[name] = folder
    return named


def translator_of(bundle: Bundle, values: Values) -> Translator:
    """A model with its own search settings and then the user's; texts are cut into sentences unless those say no."""
    own = flatten({"search": dataclasses.asdict(bundle.config.search)}, str(bundle.folder))
    search = build_config(own | {"search.split_sentences": True}, values).search
    if search.sampling:
        raise UserError("a server draws no translations at random", where="search.sampling", hint="leave it out")
    if search.language_model is not None:
        problem = "a server translates without a language model"
        raise UserError(problem, where="search.language_model", hint="leave it out")
    return Translator(bundle, search)


if __name__ == "__main__":
    sys.exit(main())
