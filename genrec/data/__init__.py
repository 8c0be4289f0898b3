"""The catalogue, the interactions with it, how to load them and how to split them."""

from genrec.data.catalogue import Catalogue
from genrec.data.dataset import Dataset
from genrec.data.errors import DataError
from genrec.data.interactions import Interactions
from genrec.data.splits import (
    Split,
    SplitConfig,
    drop_unused_items,
    held_out_scenario,
    k_core,
    leave_one_out,
    new_users,
    temporal,
)

__all__ = [
    "Catalogue",
    "DataError",
    "Dataset",
    "Interactions",
    "Split",
    "SplitConfig",
    "drop_unused_items",
    "held_out_scenario",
    "k_core",
    "leave_one_out",
    "new_users",
    "temporal",
]
