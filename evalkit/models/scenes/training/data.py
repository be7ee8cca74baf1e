"""Training data: seeded scenes, their captions, and PCA latents of 8x8 patches."""

from __future__ import annotations

import os
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from evalkit.models.scenes.captions import write_caption
from evalkit.models.scenes.drawing import draw_picture
from evalkit.models.scenes.scene import SIDE
from evalkit.models.scenes.training.checkpoints import note_cost
from evalkit.models.scenes.training.examples import SEED, add_filler, training_scene
from evalkit.models.scenes.training.tokenizer import (
    POSITIONS,
    load_tokenizer,
    tokenize,
    train_tokenizer,
)

SCENES = 96_000
CAPTIONS_PER_SCENE = 4
PATCH = 8
CHANNELS = 12
CELLS = SIDE // PATCH
PCA_PICTURES = 2_000
WHITENING = 0.3


def to_patches(pictures: np.ndarray) -> np.ndarray:
    """Pictures (n, 96, 96, 3) uint8 to patches (n, 144, 192) float32 in -1 to 1."""
    n = len(pictures)
    cut = pictures.reshape(n, CELLS, PATCH, CELLS, PATCH, 3).transpose(0, 1, 3, 2, 4, 5)
    return cut.reshape(n, CELLS * CELLS, -1).astype(np.float32) / 127.5 - 1


def fit_pca(path: Path) -> None:
    """Fit the patch components on the first scenes and write them to `path` (.npz)."""
    pictures = np.stack([np.asarray(draw_picture(training_scene(i))) for i in range(PCA_PICTURES)])
    patches = to_patches(pictures).reshape(-1, PATCH * PATCH * 3)
    mean = patches.mean(axis=0)
    covariance = (patches - mean).T @ (patches - mean) / len(patches)
    values, vectors = np.linalg.eigh(covariance.astype(np.float64))
    sigma = np.sqrt(values[::-1][:CHANNELS])
    basis = vectors[:, ::-1][:, :CHANNELS]
    wanted = (sigma / sigma[0]) ** WHITENING
    wanted /= np.sqrt(np.mean(wanted**2))
    np.savez(
        path,
        mean=mean.astype(np.float32),
        encode=(basis * (wanted / sigma)).astype(np.float32),
        decode=(basis * (sigma / wanted)).T.astype(np.float32),
        sigma=sigma,
    )


def encode(pictures: np.ndarray, pca: dict[str, np.ndarray]) -> np.ndarray:
    """PCA latents, float32, shape (n, 12, 12, 12): channels first, rms about 1."""
    codes = (to_patches(pictures) - pca["mean"]) @ pca["encode"]
    return codes.transpose(0, 2, 1).reshape(len(pictures), CHANNELS, CELLS, CELLS)


def load_pca(work: Path) -> dict[str, np.ndarray]:
    """The fitted components."""
    with np.load(work / "pca.npz") as file:
        return dict(file)


def _encode_range(job: tuple[Path, int, int]) -> tuple[int, np.ndarray, np.ndarray]:
    work, start, stop = job
    pca, tokenizer = load_pca(work), load_tokenizer(work / "tokenizer")
    rng = np.random.default_rng([SEED, 1, start])
    scenes = [training_scene(i) for i in range(start, stop)]
    pictures = np.stack([np.asarray(draw_picture(scene)) for scene in scenes])
    captions = [
        add_filler(write_caption(scene, rng), rng)
        for scene in scenes
        for _ in range(CAPTIONS_PER_SCENE)
    ]
    tokens = tokenize(tokenizer, captions).reshape(len(scenes), CAPTIONS_PER_SCENE, -1)
    return start, encode(pictures, pca).astype(np.float16), tokens


def make_data(work: Path, processes: int, scenes: int = SCENES) -> None:
    """Write tokenizer, PCA, latents.npy (n, 12, 12, 12) float16 and tokens.npy (n, 4, 40) int16."""
    before = sum(os.times()[:4])
    train_tokenizer(work / "tokenizer")
    fit_pca(work / "pca.npz")
    latents = np.empty((scenes, CHANNELS, CELLS, CELLS), dtype=np.float16)
    tokens = np.empty((scenes, CAPTIONS_PER_SCENE, POSITIONS), dtype=np.int16)
    jobs = [(work, i, min(i + 1000, scenes)) for i in range(0, scenes, 1000)]
    pool = Pool(processes) if processes > 1 else None
    encoded = map(_encode_range, jobs) if pool is None else pool.imap_unordered(_encode_range, jobs)
    for start, codes, ids in encoded:
        latents[start : start + len(codes)] = codes
        tokens[start : start + len(ids)] = ids
    if pool is not None:
        pool.close()
        pool.join()
    np.save(work / "latents.npy", latents)
    np.save(work / "tokens.npy", tokens)
    note_cost(work, "data", sum(os.times()[:4]) - before, samples=scenes)
