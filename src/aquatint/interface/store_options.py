"""Where the store is and how large it may grow, as options of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from aquatint.interface.exits import Refusal

if TYPE_CHECKING:
    from aquatint.runtime.store import Store


def add_store_options(command: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Declare the folder and the budget."""
    command.add_argument(
        "--store", type=Path, metavar="DIR",
        help="the folder that keeps quantized components ($AQUATINT_STORE, or in your cache folder)",
    )  # fmt: skip
    command.add_argument(
        "--store-budget", metavar="SIZE", help="the most that it may take, such as 20G ($AQUATINT_STORE_BUDGET, or 20G)"
    )


def store_of(options: argparse.Namespace) -> Store | None:
    """Return the store that `options` ask for, None where there is to be none; raise `Refusal`."""
    if getattr(options, "no_store", False):
        return None
    from aquatint.runtime.store.place import bytes_of, chosen_store

    try:
        budget = None if options.store_budget is None else bytes_of(options.store_budget)
        return chosen_store(options.store, budget)
    except ValueError as error:
        raise Refusal("bad-command-line", f"{error}", "write the store's budget as in `20G` or `500 MiB`") from None
