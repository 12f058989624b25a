"""Where stores are and how large they may grow, as options of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aquatint.interface.exits import Refusal

if TYPE_CHECKING:
    from aquatint.interface.settings import Running
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


def add_embeddings_options(command: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Declare the budget of embeddings; their folder goes by that of the components."""
    command.add_argument(
        "--embeddings-budget", metavar="SIZE",
        help="the most that embeddings may take, such as 4G ($AQUATINT_EMBEDDINGS_BUDGET, or 4G)",
    )  # fmt: skip


def store_of(options: argparse.Namespace | Running) -> Store | None:
    """Return the store that `options` ask for, None where there is to be none; raise `Refusal`."""
    if getattr(options, "no_store", False):
        return None
    from aquatint.runtime.store import chosen_store

    return _chosen(lambda budget: chosen_store(_folder(options), budget), options.store_budget)


def embeddings_of(options: argparse.Namespace | Running, keep: bool | None) -> Store | None:
    """Return the store of embeddings, None where none are to be kept; raise `Refusal`.

    `keep` is None where the environment decides.
    """
    from aquatint.runtime.store import chosen_embeddings

    return _chosen(lambda budget: chosen_embeddings(keep, _folder(options), budget), options.embeddings_budget)


def _folder(options: argparse.Namespace | Running) -> Path | None:
    return None if options.store is None else Path(options.store)


def _chosen(choose: Callable[[int | None], Store | None], budget: str | None) -> Store | None:
    from aquatint.runtime.store.place import bytes_of

    try:
        return choose(None if budget is None else bytes_of(budget))
    except ValueError as error:
        raise Refusal("bad-command-line", f"{error}", "write the store's budget as in `20G` or `500 MiB`") from None
