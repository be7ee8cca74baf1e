"""A loaded library pipeline made faster: memory layout, and with `compile` compiled parts."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._pytree import tree_map_only
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from evalkit.errors import ModelError, first_line
from evalkit.pipelines.memory import is_out_of_memory

_CONVOLUTIONAL = ("unet", "vae", "vqvae")
_CHANNELS_LAST = ("cuda", "cpu")  # where it is faster; for a CPU see benchmarks/kernels.py
_DENOISERS = ("unet", "transformer")
_AUTOENCODERS = ("vae", "vqvae")
_CLIP = (CLIPTextModel, CLIPTextModelWithProjection)
_SHAPES = 64  # compiled forms of one function, each for one batch size; more would run uncompiled


def accelerate(library: Any, device: torch.device, compiled: bool, where: str) -> dict[str, Any]:
    """Make `library`, a pipeline on its `device`, faster; gives what was done, for `made_with`.

    Convolutional parts get their channels last: the same image up to the last bits of a sum.
    Attention stays the library's own, which is PyTorch's fused one. With `compiled`, the denoiser,
    the decoder of the autoencoder and, for a single prompt, the CLIP text encoders are compiled at
    their first call with each shape, on a GPU into one CUDA graph per shape, and cuDNN chooses its
    convolutions by timing them; last bits may then differ from run to run. A part that cannot be
    compiled (no compiler) raises ModelError, with `where`, at that first call.
    """
    last = device.type in _CHANNELS_LAST
    if last:
        for _, part in _present(library, _CONVOLUTIONAL):
            part.to(memory_format=torch.channels_last)
    if device.type == "cuda":
        # Only with `compile`: which convolution wins varies, and with it the last bits.
        torch.backends.cudnn.benchmark = compiled
        # PyTorch convolves float32 in TensorFloat-32 unless told otherwise: 10 bits of 23, where
        # `made_with` says float32. In 16 bits it speeds up nothing.
        torch.backends.cudnn.allow_tf32 = False
    names = []
    if compiled:
        torch._dynamo.config.recompile_limit = _SHAPES
        names = list(_compile_parts(library, device, where))
    return {"memory_format": "channels_last" if last else "contiguous", "compiled": names}


def _present(library: Any, names: tuple[str, ...]) -> Iterator[tuple[str, torch.nn.Module]]:
    for name in names:
        part = getattr(library, name, None)
        if part is not None:
            yield name, part


def _compile_parts(library: Any, device: torch.device, where: str) -> Iterator[str]:
    """Compile what takes the time; a large text encoder (T5, Gemma) is no slower as it is."""
    for name, part in _present(library, _DENOISERS):
        part.forward = _compiled(part, device, f"{where}: {name}")
        yield name
    for name, part in _present(library, _AUTOENCODERS):
        name, part = f"{name}.decoder", part.decoder
        part.forward = _compiled(part, device, f"{where}: {name}")
        yield name
    for name, part in library.components.items():
        if isinstance(part, _CLIP):
            part.forward = _for_one(_compiled(part, device, f"{where}: {name}"), part.forward)
            yield name


def _compiled(part: torch.nn.Module, device: torch.device, where: str) -> Callable[..., Any]:
    """The forward of `part`, compiled; its results are copies.

    A CUDA graph has fixed shapes, and writes the results of each call into the same memory. It
    takes away the time in which the GPU waits for Python, which is most of the time at batch 1.
    """
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    run = torch.compile(part.forward, mode=mode, dynamic=False)

    @functools.wraps(part.forward)
    def forward(*args: Any, **kwargs: Any) -> Any:
        torch.compiler.cudagraph_mark_step_begin()
        try:
            return tree_map_only(torch.Tensor, torch.clone, run(*args, **kwargs))
        except torch._dynamo.exc.TorchDynamoException as error:
            if is_out_of_memory(error):
                raise
            raise ModelError(
                f"{where} cannot be compiled ({first_line(error)}); install a C++ compiler (on "
                "Debian: apt-get install g++), or take compile = true back"
            ) from error

    return forward


def _for_one(compiled: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
    """`compiled` for a single prompt, `plain` for several: how many are new to a batch varies, and
    each number would be compiled anew."""

    @functools.wraps(plain)
    def forward(input_ids: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return (compiled if len(input_ids) == 1 else plain)(input_ids, *args, **kwargs)

    return forward
