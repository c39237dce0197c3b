"""The `tolqyn` command. Each command's module is imported only when it is called, so that `--help` is quick."""

import argparse
import importlib
import os
import sys
from typing import NoReturn

from services.shared.runtime.process.errors import TolqynError, UsageError

EXIT_FAILURE, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130  # the last: 128 + SIGINT, as shells have it

COMMANDS = {
    "up": "start the local stack",
    "down": "stop the local stack",
    "status": "say what runs, where, and whether it is ready",
    "simulate": "write feeds whose figures are known beforehand",
    "send": "send files to a feed's ingest service",
    "settle": "wait until all that was sent is in the published figures",
    "bulletin": "print the bulletin of a quarter",
    "export": "print the published figures, one row per key",
    "release": "freeze a release of a quarter's figures, or list them",
    "revisions": "say how far the figures of an indicator moved after their release",
    "quality": "say what is good about the figures of a quarter and what is not",
    "verify": "recompute the published figures from the raw log, by another path",
    "trace": "say where a record is in the log, and which figures contain it",
    "keys": "add, list or revoke the API keys of agencies",
    "dead-letters": "list or redrive the records that were set aside",
}


class _Version(argparse.Action):
    """Prints the version and ends. Not argparse's own, which would want it before anybody asked for it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from services.shared.runtime.process.version import VERSION

        print(f"{parser.prog} {VERSION}")
        sys.exit(0)


def _parser(command: str | None) -> argparse.ArgumentParser:
    """The parser with one command in full, or with the names of all."""
    parser = argparse.ArgumentParser(
        prog="tolqyn",
        description="Official migration statistics of Kazakhstan from event feeds.",
        epilog="`tolqyn COMMAND --help` says more. TOLQYN_HOME and TOLQYN_PORT choose the local stack.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    if command in COMMANDS:
        importlib.import_module(f"tools.command.{command.replace('-', '_')}").add_parser(subparsers)
    else:
        for name, text in COMMANDS.items():
            subparsers.add_parser(name, help=text)
    return parser


def main(words: list[str] | None = None) -> int:
    """Run one command. Returns the exit code; expected errors are one line on standard error."""
    words = sys.argv[1:] if words is None else words
    try:
        arguments = _parser(words[0] if words else None).parse_args(words)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except TolqynError as error:
        print(f"tolqyn: {error}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILURE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever reads us (head, less) has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    return code


if __name__ == "__main__":
    sys.exit(main())
