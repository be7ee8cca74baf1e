"""How many images go into one call, where the user does not say."""

from evalkit.models import CommandModel, ModelSpec

_CPU_IMAGES = 16  # of small ones; 32 are no faster: see benchmarks/kernels.py
_CPU_PIXELS = 2**21  # 8 images of 512x512, 2 of 1024x1024

# The last block of the Stable Diffusion autoencoders, at the image's full size, sets the peak: four
# tensors of 256 channels live at once. Half as much again is for the convolutions' workspace.
_VALUES_PER_PIXEL = 4 * 256 * 3 // 2
_MOST = 32  # beyond it a GPU gains nothing, and a stopped run loses more
_SHARE = 0.9  # of the free memory; the rest is lost to its being in pieces


def default_batch_size(spec: ModelSpec, free_bytes: int | None) -> int:
    """Images per call for `free_bytes` of a GPU's memory with the model loaded; None: on a CPU.

    An image costs 1536 values per pixel, of 2 bytes where the model decodes in 16 bits and else of
    4: 1.5 GiB (0.75 GiB) for 512x512. The largest power of two that fits, from 1 to 32: so that
    devices with nearly the same free memory make the same batches.
    """
    if isinstance(spec, CommandModel):
        return 1  # it runs once per image: an error then loses no image that is paid for
    pixels = spec.width * spec.height
    if free_bytes is None:
        return max(1, min(_CPU_IMAGES, _CPU_PIXELS // pixels))
    width = 2 if getattr(spec, "vae_precision", None) in ("float16", "bfloat16") else 4
    fit = int(free_bytes * _SHARE) // (_VALUES_PER_PIXEL * width * pixels)
    return 1 << (max(1, min(_MOST, fit)).bit_length() - 1)
