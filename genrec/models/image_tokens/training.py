"""Training a VQ model on the pictures of a catalogue.

Shape letters in this file: N pictures, U pictures of a step, S side in pixels, Z the same with a
border, H and W height and width of the grid, D width of a code, K codes, L latents of a step, I
codes that nobody used.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from genrec.data import Catalogue
from genrec.data.pictures import open_picture
from genrec.models.image_tokens.tokenizer import ImageTokenizer

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ImageTrainingConfig:
    """One run of the optimizer."""

    steps: int = 800
    """Optimizer steps."""

    batch_size: int = 16
    """Pictures of a step."""

    learning_rate: float = 2e-3
    """Highest learning rate, reached after the warm-up and falling to 0 by a cosine."""

    warmup_steps: int = 50
    """Steps over which the learning rate rises from 0."""

    continuous_steps: int = 100
    """So many steps first learn without codes; then latents become the first codes."""

    revive_every: int = 20
    """Codes that no picture has used for so many steps begin anew from a latent."""

    commitment: float = 0.25
    """Weight of what pulls latents towards their codes."""

    decay: float = 0.95
    """Codes are means of the latents that chose them, over about 1 / (1 - decay) steps."""

    colour_weight: float = 3.0
    """Weight of the error of colours, which are what channels differ by: small beside that of
    bright and dark, and so learnt last, but the first thing that one sees."""

    shift: int = 4
    """Pictures are moved by up to so many pixels, so that there are more different ones."""

    mixed_precision: bool = True
    """Multiply in bfloat16."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "revive_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.continuous_steps < self.steps:
            raise ValueError(
                f"continuous_steps is {self.continuous_steps} of {self.steps} steps; "
                "codes must be learnt in some of them"
            )


def train_image_tokenizer(
    tokenizer: ImageTokenizer,
    catalogue: Catalogue,
    rows: Sequence[int],
    config: ImageTrainingConfig,
    *,
    seed: int = 0,
    progress: bool = False,
) -> list[float]:
    """Teach a VQ model the pictures of some items.

    The loss is the absolute error of pixels and colours and what pulls latents towards their codes
    (VQ-VAE, equation 3, https://arxiv.org/abs/1711.00937). Codes begin as latents of pictures, and
    those that fall out of use begin anew (https://arxiv.org/abs/2005.00341, section 3.1).

    Args:
        tokenizer: The model, which is changed.
        catalogue: The items.
        rows: Which of them to learn from; each has a picture.
        config: The optimizer's settings.
        seed: Decides the order of the pictures and what codes begin as.
        progress: Whether to show a bar.

    Returns:
        The loss of every step.
    """
    if not len(rows):
        raise ValueError("there are no pictures to learn from; name some items that have one")
    model, device = tokenizer.model.train(), tokenizer.model.device
    pixels_N3SS = tokenizer.pixels([open_picture(catalogue, int(row)) for row in rows])
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.01)
    codes_KD = model.quantize.embedding.weight.requires_grad_(False)
    codebook = _Codebook(codes_KD, draw, decay=config.decay)
    losses = []
    for step in tqdm(range(config.steps), desc="image tokenizer", disable=not progress):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * _rate(step, config)
        chosen_U = torch.randint(len(pixels_N3SS), (config.batch_size,), generator=draw)
        pixels_U3SS = _moved(pixels_N3SS[chosen_U], config.shift, draw).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.mixed_precision):
            latents_UDHW = model.encode(pixels_U3SS).latents.float()
            if step == config.continuous_steps:
                codebook.begin(_as_rows(latents_UDHW))
            written_UDHW, error = latents_UDHW, latents_UDHW.new_zeros(())
            if step >= config.continuous_steps:
                written_UDHW, error = codebook.quantize(latents_UDHW)
            drawn_U3SS = tokenizer.draw_latents(written_UDHW).float()
        loss = _error(drawn_U3SS, pixels_U3SS, config) + config.commitment * error
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
        late = step > 0.8 * config.steps  # what began anew so late would not settle
        if step > config.continuous_steps and not late and step % config.revive_every == 0:
            codebook.revive(_as_rows(latents_UDHW))
    model.eval()
    return losses


def _error(drawn_U3SS: Tensor, pixels_U3SS: Tensor, config: ImageTrainingConfig) -> Tensor:
    """Return the absolute error of pixels, and that of their colours apart from brightness."""
    off_U3SS = drawn_U3SS - pixels_U3SS
    colour_U3SS = off_U3SS - off_U3SS.mean(dim=1, keepdim=True)
    return off_U3SS.abs().mean() + config.colour_weight * colour_U3SS.abs().mean()


class _Codebook:
    """The codes in training: running means of the latents that chose them."""

    def __init__(self, codes_KD: Tensor, draw: torch.Generator, *, decay: float) -> None:
        self._codes_KD = codes_KD
        self._draw = draw
        self._decay = decay
        self._weight_K = torch.zeros(len(codes_KD), device=codes_KD.device)
        self._sum_KD = torch.zeros_like(codes_KD)
        self._used_K = torch.zeros(len(codes_KD), dtype=torch.bool, device=codes_KD.device)

    def quantize(self, latents_UDHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest codes, with gradients straight through, and the latents' error."""
        latents_LD = _as_rows(latents_UDHW)
        code_L = torch.cdist(latents_LD, self._codes_KD).argmin(dim=1)
        batch, _, height, width = latents_UDHW.shape
        chosen_UDHW = self._codes_KD[code_L].view(batch, height, width, -1).permute(0, 3, 1, 2)
        self._follow(latents_LD, code_L)
        error = functional.mse_loss(latents_UDHW, chosen_UDHW)
        return latents_UDHW + (chosen_UDHW - latents_UDHW).detach(), error

    def _follow(self, latents_LD: Tensor, code_L: Tensor) -> None:
        """Move codes towards the latents that chose them (VQ-VAE, appendix A.1)."""
        self._used_K[code_L] = True
        rate = 1 - self._decay
        self._weight_K.lerp_(torch.bincount(code_L, minlength=len(self._weight_K)).float(), rate)
        self._sum_KD.lerp_(torch.zeros_like(self._sum_KD).index_add_(0, code_L, latents_LD), rate)
        alive_K = self._weight_K > 1e-3
        self._codes_KD[alive_K] = self._sum_KD[alive_K] / self._weight_K[alive_K, None]

    def begin(self, latents_LD: Tensor) -> None:
        """Let every code begin as a latent."""
        self._used_K[:] = False
        self.revive(latents_LD)

    def revive(self, latents_LD: Tensor) -> None:
        """Let codes that were not used begin as latents, and count anew."""
        idle_I = (~self._used_K).nonzero().squeeze(1)
        drawn_I = torch.randint(len(latents_LD), (len(idle_I),), generator=self._draw)
        self._codes_KD[idle_I] = latents_LD[drawn_I.to(latents_LD.device)]
        self._sum_KD[idle_I], self._weight_K[idle_I] = self._codes_KD[idle_I], 1.0
        self._used_K[:] = False


def _as_rows(latents_UDHW: Tensor) -> Tensor:
    return latents_UDHW.detach().permute(0, 2, 3, 1).flatten(0, 2)


def _moved(pixels_U3SS: Tensor, shift: int, draw: torch.Generator) -> Tensor:
    """Move each picture a little; what stands at its border is drawn out."""
    if shift == 0:
        return pixels_U3SS
    size = pixels_U3SS.shape[-1]
    wide_U3ZZ = functional.pad(pixels_U3SS, (shift,) * 4, mode="replicate")
    start_U2 = torch.randint(2 * shift + 1, (len(pixels_U3SS), 2), generator=draw).tolist()
    return torch.stack(
        [
            picture_3ZZ[:, y : y + size, x : x + size]
            for picture_3ZZ, (y, x) in zip(wide_U3ZZ, start_U2, strict=True)
        ]
    )


def _rate(step: int, config: ImageTrainingConfig) -> float:
    """Share of the highest learning rate: a linear warm-up, then half a cosine."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return 0.5 * (1 + float(torch.tensor(torch.pi * done).cos()))
