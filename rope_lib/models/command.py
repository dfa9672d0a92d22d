"""``python -m rope_lib explain config.json``: what a configuration means."""

import argparse
import json
import sys
from collections.abc import Sequence

from .explain import explain


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what a configuration means; returns 1 where it cannot be read as it stands."""
    parser = argparse.ArgumentParser(prog="python -m rope_lib", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("explain", help="what a model's config.json means")
    command.add_argument("config", help="a config.json, or the folder that holds it")
    command.add_argument("--like", help="a model type whose code it has, such as llama")
    command.add_argument("--json", action="store_true", help="as JSON instead of sentences")
    command.add_argument("--figure", metavar="FILE", help="draw the wavelengths into this file")
    given = parser.parse_args(arguments)
    told = explain(given.config, like=given.like)
    print(json.dumps(told.as_dict(), indent=2) if given.json else told)
    if given.figure:
        try:
            told.figure().savefig(given.figure)
        except (ImportError, OSError, ValueError) as error:
            print(f"no figure: {error}", file=sys.stderr)
            return 1
    return 1 if told.problems else 0
