"""`python -m innerear`: download a model's weights, check a new model, or print the name of a study."""

import argparse
import os
import sys

from innerear.errors import InputError, shown
from innerear.io.log import one_line, print_anything


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m innerear", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    model = "nano, a hub id (facebook/musicgen-small) or a checkpoint directory"
    tracing = commands.add_parser("trace", help="list a model's modules with their calls and shapes")
    tracing.add_argument("model", help=model)
    tracing.add_argument("--text", default="happy music", help="the prompt (default: %(default)s)")
    tracing.add_argument("--duration", type=float, default=0.2, help="seconds (default: %(default)s)")
    fetching = commands.add_parser(
        "fetch", help="download a model's weights, text encoder and codec into the cache, once"
    )
    fetching.add_argument("model", help=model)
    fetching.add_argument("--revision", help="commit, branch or tag of a hub model (default: main)")
    fetching.add_argument("--backend", choices=("audiocraft", "transformers"), default="audiocraft")
    fetching.add_argument(
        "--output", type=_path, help="write the revisions to this file, for load_model(pins=FILE)"
    )
    naming = commands.add_parser("study", help="print the name of a configuration's study")
    naming.add_argument("config", type=_path, help="the configuration, as YAML")
    chosen = parser.parse_args(arguments)
    print_anything()
    try:
        {"fetch": _fetch, "trace": _trace, "study": _study}[chosen.command](chosen)
        sys.stdout.flush()
    except BrokenPipeError:  # a reader such as `head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except FileNotFoundError as error:
        print(f"error: {error.filename} does not exist; give a path that does", file=sys.stderr)
        return 1
    except (InputError, OSError) as error:
        said = str(error) if isinstance(error, InputError) else one_line(error)
        if said is None:
            raise
        print(f"error: {said}", file=sys.stderr)
        return 1
    return 0


def _path(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("an empty text is no path: name a file")
    return text


# Imported below: --help does not wait for torch.


def _trace(chosen: argparse.Namespace) -> None:
    from innerear.capture.trace import describe
    from innerear.models import load_model

    print(describe(load_model(chosen.model), chosen.text, chosen.duration))


def _fetch(chosen: argparse.Namespace) -> None:
    from innerear.models.fetching import describe, fetch, write_pins

    found = fetch(chosen.model, chosen.revision, chosen.backend)
    print(describe(found))
    if chosen.output:
        write_pins(found, chosen.output)


def _study(chosen: argparse.Namespace) -> None:
    from innerear.study.config_files import check_files, read_file
    from innerear.study.names import MAX_NAME, is_name

    settings = read_file(chosen.config)
    if not isinstance(settings, dict):
        found = "nothing" if settings is None else shown(settings)
        raise InputError(f"{chosen.config} holds {found}; give keys with values, such as study: my_study")
    check_files([chosen.config])
    if "study" not in settings:
        raise InputError(f"{chosen.config} names no study; give one, as in study: my_study")
    name = settings["study"]
    if not isinstance(name, str) or not is_name(name):
        raise InputError(
            f"{chosen.config}: study: {shown(name)} cannot name a folder; use up to {MAX_NAME} letters, "
            "digits, - and _, a letter or a digit first, in quotes if YAML takes it for a number or a date"
        )
    print(name)


if __name__ == "__main__":
    sys.exit(main())
