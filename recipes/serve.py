"""Serve a fine-tuned model over HTTP, with a page to try it on.

    python recipes/serve.py --config recipes/configs/serve_toy.yaml
    GENREC_ADMIN_TOKEN=... python recipes/serve.py --config recipes/configs/serve_toy.yaml

Then look at http://127.0.0.1:8000/. Tokens come from the environment: with GENREC_TOKEN clients
need one, with GENREC_ADMIN_TOKEN the catalogue can be changed. Logs are JSON lines and tell nothing
of users. On SIGTERM the service answers what it took, and stops.
"""

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
import uvicorn

from genrec import GenRec
from genrec.data import Dataset
from genrec.recipe import run_recipe
from genrec.serving import VLLMConfig
from genrec.serving.service import (
    Examples,
    ServiceConfig,
    create_app,
    images_of,
    learned_tasks,
    load_store,
    log_as_json,
)

log = logging.getLogger("genrec.serve")


@dataclass(frozen=True, kw_only=True)
class Config:
    model: Path
    """The model directory that recipes/finetune.py wrote."""

    tokenizer: Path | None = None
    """The tokenizer that gave its items their IDs; without it there are no new items."""

    state: Path | None = None
    """Where changes of the catalogue are kept, so that a restart serves the same version. Processes
    may share it. Without it changes end with the process."""

    dataset: Path | None = None
    """A data set whose users' histories the page offers to begin with; leave it out where they are
    nobody's business."""

    engine: Literal["transformers", "vllm"] = "transformers"
    """What computes the answers."""

    vllm: VLLMConfig | None = None
    """How vLLM runs; for that engine alone."""

    device: str | None = None
    """Where to compute, such as cuda; an accelerator if there is one."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """The precision to compute in."""

    beams: int = 20
    """Fewest beams of a search."""

    threads: int | None = None
    """Threads of the model on a CPU; by default as many as there are cores."""

    host: str = "127.0.0.1"
    """Where to listen; 0.0.0.0 lets other machines in."""

    port: int = 8000
    """The port to listen at."""

    shutdown_s: int = 30
    """How long to finish what was taken, when asked to stop."""

    service: ServiceConfig = field(default_factory=ServiceConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.port < 1 << 16:
            raise ValueError(f"port is {self.port}; give one from 1 to 65535, or 0 for any")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads is {self.threads}; it must be at least 1")
        if self.shutdown_s < 0:
            raise ValueError(f"shutdown_s is {self.shutdown_s}; it cannot be negative")


def main(config: Config) -> None:
    log_as_json()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    rec = GenRec.from_pretrained(
        config.model, engine=config.engine, device=config.device,
        dtype=getattr(torch, config.dtype), beams=config.beams,
        batch_size=config.service.batch_size, vllm=config.vllm,
    )  # fmt: skip
    store = load_store(rec, tokenizer=config.tokenizer, state=config.state)
    token, admin_token = (os.environ.get(f"GENREC_{name}") for name in ("TOKEN", "ADMIN_TOKEN"))
    if admin_token and config.state is None:
        log.warning("there is no state: changes of the catalogue end with the process")
    app = create_app(
        store, config.service, tasks=learned_tasks(config.model), token=token or None,
        admin_token=admin_token or None, images=images_of(config.model),
        examples=None if config.dataset is None else Examples.of(Dataset.load(config.dataset)),
    )  # fmt: skip
    log.info("version %d of the catalogue is ready", store.current.number)
    uvicorn.run(
        app, host=config.host, port=config.port, log_config=None, access_log=False,
        server_header=False, timeout_graceful_shutdown=config.shutdown_s,
    )  # fmt: skip


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
