"""The first IDs of a catalogue: train a quantizer, choose codes, part items that share them.

Shape letters in this file: N items, F features, C width of LETTER's embeddings, L levels.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from genrec.config import to_dict
from genrec.semantic_ids import SemanticIds
from genrec.tokenization.arrays import Features, Labels
from genrec.tokenization.assignment import AssignmentConfig, assign
from genrec.tokenization.blend import Blend
from genrec.tokenization.encoding import (
    check_features,
    feature_variance,
    quantize,
    reconstruction_errors,
)
from genrec.tokenization.growth import Items, start_ledger
from genrec.tokenization.ledger import Entries
from genrec.tokenization.neighbours import neighbours_kept
from genrec.tokenization.quality import check_codebooks, check_weights, measure
from genrec.tokenization.quantizers import QuantizerConfig, fit_quantizer, is_trained
from genrec.tokenization.state import TokenizerState
from genrec.tokenization.training import TrainingConfig


def give_first_ids(
    features_NF: Features,
    config: QuantizerConfig,
    *,
    training: TrainingConfig,
    assignment: AssignmentConfig,
    catalogue: Items | None,
    labels: Labels | None,
    collaborative: Features | None,
    source: Mapping[str, Any],
    blend: Blend | None,
    seed: int,
    device: str | torch.device,
    progress: bool,
) -> TokenizerState:
    """Train a quantizer on the features of all items and give each a unique ID.

    What the arguments are and what is refused stands at
    :meth:`genrec.tokenization.SemanticTokenizer.train`.
    """
    check_features(features_NF, items=len(catalogue) if catalogue else None)
    variance = feature_variance(features_NF)
    x_NF = torch.from_numpy(np.ascontiguousarray(features_NF, dtype=np.float32)).to(device)
    generator = torch.Generator().manual_seed(seed)
    together_NC = None if collaborative is None else torch.tensor(collaborative).to(x_NF)
    quantizer = fit_quantizer(
        config, x_NF, training,
        generator=generator, collaborative_NC=together_NC, progress=progress,
    )  # fmt: skip
    check_weights(quantizer.state_dict())
    codes_NL = quantize(quantizer, x_NF)
    before = SemanticIds(codes_NL.cpu().numpy(), config.codebook_sizes)
    check_codebooks(before)
    ids, moved = assign(codes_NL, x_NF, quantizer, assignment)
    error_N = reconstruction_errors(quantizer, x_NF, codes_NL) / np.float32(variance)
    # An extra level only counts; it describes nothing.
    final_NL = torch.tensor(ids.codes_NL[:, : before.levels], dtype=torch.long, device=device)
    final_error_N = reconstruction_errors(quantizer, x_NF, final_NL) / np.float32(variance)
    item_ids = catalogue.item_ids if catalogue else list(map(str, range(len(ids))))
    moved_N = np.isin(np.arange(len(ids)), moved)
    entries = Entries(item_ids, ids.codes_NL, error_N, final_error_N, moved_N)
    quality = measure(
        before, ids, moved=len(moved), labels=labels,
        errors=(float(error_N.mean()), float(final_error_N.mean())),
        neighbours=neighbours_kept(x_NF, final_NL, quantizer, generator=generator),
    )  # fmt: skip
    return TokenizerState(
        quantizer=quantizer.cpu(),
        ledger=start_ledger(entries, ids.codebook_sizes, catalogue),
        quality=quality,
        codebook_sizes=ids.codebook_sizes,
        feature_dim=features_NF.shape[1],
        variance=variance,
        recipe={
            "quantizer": to_dict(config),
            "training": to_dict(training) if is_trained(config) else None,
            "assignment": to_dict(assignment),
            "features": dict(source),
            "seed": seed,
        },
        blend=blend,
    )
