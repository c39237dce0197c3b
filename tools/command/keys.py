"""`tolqyn keys`: the API keys of agencies."""

import argparse

from schemas.feeds import FEEDS
from services.shared.runtime.process.api_keys import ApiKeys
from services.shared.runtime.process.settings import Settings


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("keys", help="add, list or revoke the API keys of agencies")
    commands = parser.add_subparsers(dest="keys_command", required=True)
    add = commands.add_parser("add", help="make a key and print it once; only its hash is kept")
    add.add_argument("--agency", required=True, help="1 to 32 of a-z, 0-9 and -")
    add.add_argument("--feed", required=True, choices=sorted(FEEDS))
    add.set_defaults(run=_add)
    listing = commands.add_parser("list", help="print all keys: id, agency, feed, created, revoked")
    listing.set_defaults(run=_list)
    revoke = commands.add_parser("revoke", help="stop a key from working, at once")
    revoke.add_argument("id", metavar="ID", help="as `tolqyn keys list` prints it")
    revoke.set_defaults(run=_revoke)


def _keys() -> ApiKeys:
    return ApiKeys(Settings.from_env().api_keys_file)


def _add(args: argparse.Namespace) -> int:
    _, key = _keys().add(args.agency, args.feed)
    print(key)
    return 0


def _list(_: argparse.Namespace) -> int:
    for key in _keys().all():
        print(f"{key.id}  {key.agency:32}  {key.feed:24}  {key.created}  {key.revoked or '-'}")
    return 0


def _revoke(args: argparse.Namespace) -> int:
    key = _keys().revoke(args.id)
    print(f"{key.id} of {key.agency} for {key.feed} no longer works")
    return 0
