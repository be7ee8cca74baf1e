"""The noise of an image: decided by its prompt and seed alone, the same for every model."""

import hashlib
import json

NOISE = (
    "one torch.Generator on the CPU per image, seeded with the first 8 bytes (big-endian) of the "
    "SHA-256 of the JSON text [prompt, seed]"
)


def noise_seed(prompt: str, seed: int) -> int:
    """The number, 0 to 2**64 - 1, that seeds the generator of one image; see `NOISE`.

    The JSON text is ASCII with one blank after the comma: `["a red cat", 0]`. PyTorch's generator
    on a CPU uses the lower 32 bits of it alone. Of n images of one model n^2 / 2^33 pairs are
    expected to share their noise: 1 of 10^5 images, 116 of a million. Such a pair are images of
    different prompts or seeds, and the same in every model, so models are compared as if there
    were none.
    """
    text = json.dumps([prompt, seed], ensure_ascii=True)
    return int.from_bytes(hashlib.sha256(text.encode("ascii")).digest()[:8], "big")
