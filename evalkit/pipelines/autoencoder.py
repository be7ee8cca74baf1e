"""The autoencoder of a library pipeline in a precision of its own."""

from typing import Any

import torch


def autoencode_in(library: Any, dtype: torch.dtype) -> None:
    """Let the autoencoder compute in `dtype`, whatever the dtype of what it is given."""
    vae = library.vqvae if hasattr(library, "vqvae") else library.vae
    vae.to(dtype)
    vae.register_to_config(force_upcast=False)
    for name in ("encode", "decode"):
        setattr(vae, name, _casting(getattr(vae, name), vae))


def autoencoded_in(own: str | None, precision: str) -> str:
    """What `made_with` says: the precision of its own, or that the library chooses it."""
    # Without one, some pipelines decode float16 in float32, others do not.
    return own or f"library's for {precision}"


def _casting(method: Any, vae: torch.nn.Module) -> Any:
    def cast(given: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if given.is_floating_point():  # aMUSEd decodes numbers of tokens
            given = given.to(vae.dtype)
        return method(given, *args, **kwargs)

    return cast
