"""The catalogue, the interactions with it, how to load them and how to split them."""

from genrec.data.amazon import AmazonConfig, load_amazon
from genrec.data.catalogue import Catalogue
from genrec.data.dataset import Dataset
from genrec.data.dialogues import Dialogue, load_dialogues
from genrec.data.errors import DataError
from genrec.data.events import EventRules
from genrec.data.interactions import Interactions
from genrec.data.movielens import MovieLensConfig, load_movielens
from genrec.data.sequences import SequencesConfig, load_sequences
from genrec.data.splits import (
    Split,
    SplitConfig,
    drop_unused_items,
    held_out_scenario,
    k_core,
    leave_one_out,
    new_users,
    sample_events,
    temporal,
)
from genrec.data.tabular import EventColumns, TabularConfig, load_tabular

__all__ = [
    "AmazonConfig",
    "Catalogue",
    "DataError",
    "Dataset",
    "Dialogue",
    "EventColumns",
    "EventRules",
    "Interactions",
    "MovieLensConfig",
    "SequencesConfig",
    "Split",
    "SplitConfig",
    "TabularConfig",
    "drop_unused_items",
    "held_out_scenario",
    "k_core",
    "leave_one_out",
    "load_amazon",
    "load_dialogues",
    "load_movielens",
    "load_sequences",
    "load_tabular",
    "new_users",
    "sample_events",
    "temporal",
]
