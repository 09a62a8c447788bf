"""`python -m innerear`: check a new model before use."""

import argparse
import sys

from innerear.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m innerear", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    tracing = commands.add_parser("trace", help="list its modules with their calls and shapes")
    tracing.add_argument("model", help="nano, a hub id (facebook/musicgen-small) or a checkpoint directory")
    tracing.add_argument("--text", default="happy music", help="the prompt (default: %(default)s)")
    tracing.add_argument("--duration", type=float, default=0.2, help="seconds (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    # Imported here: --help does not wait for torch.
    from innerear.capture.trace import describe
    from innerear.models import load_model

    try:
        print(describe(load_model(chosen.model), chosen.text, chosen.duration))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
