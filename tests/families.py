"""The families that run in one library pipeline: a model's table, and the library by hand."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from evalkit.models import resolve
from evalkit.pipelines import Request, load_pipeline, noise_seed
from evalkit.pipelines.turbo_scheduler import TurboScheduler
from tests import family_miniatures, miniatures


def checkpoints(root: Path) -> Path:
    """The miniature checkpoints of all families, each in a folder of `root`."""
    for name in ("sdxl", "lora_sdxl", "sd_turbo"):
        getattr(miniatures, name)(root / name)
    for name in ("sd15", "lora_sd15", "flux", "sd3", "sana_sprint", "sana", "amused"):
        getattr(family_miniatures, name)(root / name)
    for prediction in ("v_prediction", "epsilon"):
        family_miniatures.sd2(root / prediction, prediction)
    family_miniatures.xl_unet_weights(root / "unets" / "lightning.safetensors")
    family_miniatures.xl_unet_weights(root / "unets" / "dmd2.bin", seed=14)
    return root


@dataclass(frozen=True)
class Family:
    """A model's table, and the library called by hand: `kind` loaded, `prepare`d, `call`ed."""

    folder: str
    kind: type
    table: dict[str, Any]
    call: dict[str, Any]
    prepare: Callable[[Any, Path], None] = lambda pipeline, made: None
    paths: dict[str, str] = field(default_factory=dict)


def scheduler(kind: type, **settings: Any) -> Callable[[Any, Path], None]:
    def prepare(pipeline, made):
        pipeline.scheduler = kind.from_config(pipeline.scheduler.config, **settings)

    return prepare


def with_unet(file: str, then: Callable[[Any, Path], None]) -> Callable[[Any, Path], None]:
    def prepare(pipeline, made):
        path = made / "unets" / file
        weights = load_file(path) if path.suffix == ".safetensors" else torch.load(path)
        pipeline.unet.load_state_dict(weights)
        then(pipeline, made)

    return prepare


def with_lora(name: str, then: Callable[[Any, Path], None]) -> Callable[[Any, Path], None]:
    def prepare(pipeline, made):
        pipeline.load_lora_weights(made / name)
        then(pipeline, made)

    return prepare


SD, XL = diffusers.StableDiffusionPipeline, diffusers.StableDiffusionXLPipeline
SD_IMAGE, XL_IMAGE = (
    diffusers.StableDiffusionImg2ImgPipeline,
    diffusers.StableDiffusionXLImg2ImgPipeline,
)
LCM, TCD, DDIM = diffusers.LCMScheduler, diffusers.TCDScheduler, diffusers.DDIMScheduler
EULER, ANCESTRAL = diffusers.EulerDiscreteScheduler, diffusers.EulerAncestralDiscreteScheduler
FP16 = {"variant": "fp16"}
TRAILING = {"timestep_spacing": "trailing"}
DMD2_STEPS = [999, 749, 499, 249]
LOCAL_SANA = {"use_resolution_binning": False}  # the miniature makes no 1024x1024

FAMILIES = {
    "sd15": Family(
        "sd15",
        SD,
        {**FP16, "steps": 5, "guidance": 7.5, "negative_prompt": "blur"},
        {"num_inference_steps": 5, "guidance_scale": 7.5, "negative_prompt": "blur"},
    ),
    "sd15-lcm-lora": Family(
        "sd15",
        SD,
        {**FP16, "scheduler": "LCMScheduler", "steps": 4, "guidance": 1.0},
        {"num_inference_steps": 4, "guidance_scale": 1.0},
        with_lora("lora_sd15", scheduler(LCM)),
        {"lora_repository": "lora_sd15"},
    ),
    "sd2-768": Family(
        "v_prediction",
        SD,
        {"steps": 5, "guidance": 7.5},
        {"num_inference_steps": 5, "guidance_scale": 7.5},
    ),
    "sd2-512": Family(
        "epsilon",
        SD,
        {"steps": 5, "guidance": 7.5},
        {"num_inference_steps": 5, "guidance_scale": 7.5},
    ),
    "sd-turbo-image": Family(
        "sd_turbo",
        SD_IMAGE,
        {**FP16, "scheduler_settings": TRAILING, "steps": 2, "strength": 0.5, "guidance": 0.0},
        {"num_inference_steps": 2, "strength": 0.5, "guidance_scale": 0.0},
        scheduler(EULER, **TRAILING),
    ),
    "sdxl-image": Family(
        "sdxl",
        XL_IMAGE,
        {**FP16, "steps": 5, "strength": 0.5, "guidance": 5.0},
        {"num_inference_steps": 5, "strength": 0.5, "guidance_scale": 5.0},
    ),
    "sdxl-turbo": Family(
        "sdxl",
        XL,
        {
            **FP16,
            "scheduler": "EulerAncestralDiscreteScheduler",
            "scheduler_settings": TRAILING,
            "steps": 4,
            "guidance": 0.0,
        },
        {"num_inference_steps": 4, "guidance_scale": 0.0},
        scheduler(ANCESTRAL, **TRAILING),
    ),
    "sdxl-turbo-authors": Family(
        "sdxl",
        XL,
        {**FP16, "scheduler": "TurboScheduler", "steps": 4, "guidance": 0.0},
        {"num_inference_steps": 4, "guidance_scale": 0.0},
        scheduler(TurboScheduler),
    ),
    "sdxl-lightning": Family(
        "sdxl",
        XL,
        {
            **FP16,
            "unet_file": "lightning.safetensors",
            "scheduler_settings": TRAILING,
            "steps": 4,
            "guidance": 0.0,
        },
        {"num_inference_steps": 4, "guidance_scale": 0.0},
        with_unet("lightning.safetensors", scheduler(EULER, **TRAILING)),
        {"unet_repository": "unets"},
    ),
    "dmd2": Family(
        "sdxl",
        XL,
        {
            **FP16,
            "unet_file": "dmd2.bin",
            "scheduler": "LCMScheduler",
            "steps": 4,
            "timesteps": DMD2_STEPS,
            "guidance": 0.0,
        },
        {"num_inference_steps": 4, "guidance_scale": 0.0, "timesteps": DMD2_STEPS},
        with_unet("dmd2.bin", scheduler(LCM)),
        {"unet_repository": "unets"},
    ),
    "hyper-sd": Family(
        "sdxl",
        XL,
        {
            **FP16,
            "scheduler": "DDIMScheduler",
            "scheduler_settings": TRAILING,
            "steps": 2,
            "guidance": 0.0,
        },
        {"num_inference_steps": 2, "guidance_scale": 0.0},
        with_lora("lora_sdxl", scheduler(DDIM, **TRAILING)),
        {"lora_repository": "lora_sdxl"},
    ),
    "hyper-sd-unified": Family(
        "sdxl",
        XL,
        {
            **FP16,
            "scheduler": "TCDScheduler",
            "call_settings": {"eta": 1.0},
            "steps": 3,
            "guidance": 0.0,
        },
        {"num_inference_steps": 3, "guidance_scale": 0.0, "eta": 1.0},
        with_lora("lora_sdxl", scheduler(TCD)),
        {"lora_repository": "lora_sdxl"},
    ),
    "flux": Family(
        "flux",
        diffusers.FluxPipeline,
        {"steps": 4, "guidance": 0.0, "call_settings": {"max_sequence_length": 32}},
        {"num_inference_steps": 4, "guidance_scale": 0.0, "max_sequence_length": 32},
    ),
    "sd3": Family(
        "sd3",
        diffusers.StableDiffusion3Pipeline,
        {"steps": 4, "guidance": 5.0, "call_settings": {"max_sequence_length": 32}},
        {"num_inference_steps": 4, "guidance_scale": 5.0, "max_sequence_length": 32},
    ),
    "flux-negative": Family(
        "flux",
        diffusers.FluxPipeline,
        {
            "steps": 2,
            "guidance": 0.0,
            "negative_prompt": "blur",
            "call_settings": {"true_cfg_scale": 2.0},
        },
        {
            "num_inference_steps": 2,
            "guidance_scale": 0.0,
            "negative_prompt": "blur",
            "true_cfg_scale": 2.0,
        },
    ),
    "flux-image": Family(
        "flux",
        diffusers.FluxImg2ImgPipeline,
        {"steps": 4, "strength": 0.5, "guidance": 0.0},
        {"num_inference_steps": 4, "strength": 0.5, "guidance_scale": 0.0},
    ),
    "sd3-image": Family(
        "sd3",
        diffusers.StableDiffusion3Img2ImgPipeline,
        {"steps": 4, "strength": 0.5, "guidance": 5.0, "negative_prompt": "blur"},
        {
            "num_inference_steps": 4,
            "strength": 0.5,
            "guidance_scale": 5.0,
            "negative_prompt": "blur",
        },
    ),
    "sana-sprint": Family(
        "sana_sprint",
        diffusers.SanaSprintPipeline,
        {"steps": 2, "guidance": 4.5, "call_settings": LOCAL_SANA},
        {"num_inference_steps": 2, "guidance_scale": 4.5, **LOCAL_SANA},
    ),
    "sana-sprint-4": Family(  # the library's default for two steps must be taken back
        "sana_sprint",
        diffusers.SanaSprintPipeline,
        {"steps": 4, "guidance": 4.5, "call_settings": LOCAL_SANA},
        {
            "num_inference_steps": 4,
            "guidance_scale": 4.5,
            "intermediate_timesteps": None,
            **LOCAL_SANA,
        },
    ),
    "sana": Family(
        "sana",
        diffusers.SanaPipeline,
        {"steps": 4, "guidance": 4.5, "negative_prompt": "blur", "call_settings": LOCAL_SANA},
        {
            "num_inference_steps": 4,
            "guidance_scale": 4.5,
            "negative_prompt": "blur",
            **LOCAL_SANA,
        },
    ),
    "amused": Family(
        "amused",
        diffusers.AmusedPipeline,
        {"steps": 4, "guidance": 10.0},
        {"num_inference_steps": 4, "guidance_scale": 10.0},
    ),
}


def load(name: str, made: Path, **changes: Any) -> Any:
    family = FAMILIES[name]
    paths = {key: str(made / folder) for key, folder in family.paths.items()}
    table = {"repository": str(made / family.folder), "width": 32, "height": 32, **family.table}
    return load_pipeline(resolve("mini", {**table, **paths, **changes}, "models.mini"), "cpu")


def pixels(results):
    assert [result.status for result in results] == ["ok"] * len(results)
    return np.stack([np.asarray(result.image) for result in results]).astype(int)


def by_hand(name: str, made: Path, requests: list[Request]) -> np.ndarray:
    """Images of the library called with text, as its documentation says, one at a time."""
    family = FAMILIES[name]
    pipeline = family.kind.from_pretrained(
        made / family.folder, dtype=torch.float32, variant=family.table.get("variant")
    )
    pipeline.set_progress_bar_config(disable=True)
    family.prepare(pipeline, made)
    images = []
    for request in requests:
        call = {
            "generator": torch.Generator().manual_seed(noise_seed(request.prompt, request.seed))
        }
        if "strength" in family.table:
            call["image"] = Image.open(request.input_image)
        if "width" in inspect.signature(pipeline.__call__).parameters:
            call |= {"width": 32, "height": 32}
        images += pipeline(request.prompt, **call, **family.call).images
    return np.stack([np.asarray(image) for image in images]).astype(int)
