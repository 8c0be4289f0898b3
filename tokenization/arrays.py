"""Names for the arrays that the tokenizer's parts hand to each other."""

from typing import Any

import numpy as np

Features = np.ndarray[Any, np.dtype[np.float32]]
"""One row of features per item, of shape (N, F)."""

Labels = np.ndarray[Any, np.dtype[np.int64]]
"""One class per item, of shape (N,)."""

Rows = np.ndarray[Any, np.dtype[np.int64]]
"""Rows of the catalogue, or other whole numbers per item."""

Bools = np.ndarray[Any, np.dtype[np.bool_]]
"""A yes or no per item or event."""
