"""Architectures with random weights: the published sizes, and a pipeline as the loader gives it."""

import inspect

import diffusers
import pytest
import torch
import transformers
from diffusers.models.attention_processor import AttnProcessor2_0
from diffusers.pipelines.deepfloyd_if.safety_checker import IFSafetyChecker
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from evalkit.errors import ModelError
from evalkit.models import CATALOGUE, resolve
from evalkit.pipelines import Request, random_weights
from tests.architecture_miniatures import CLIP, IF, OTHERS, STAGE_PARTS, VAE, shrunk
from tests.miniatures import requests

SDXL = "stabilityai/stable-diffusion-xl-base-1.0"

# Of model cards and papers, in 10^9: SDXL 2.6 (UNet), SD 1.5 0.86, SD 2.1 0.87, FLUX 12, SD3.5 8.1,
# CLIP-L 0.12, CLIP-H 0.34, CLIP-bigG 0.69, the encoder of T5-XXL 4.76, SANA-Sprint 1.6. A file of
# weights is as large as they are, 2 or 4 bytes each.
PUBLISHED = {
    ("sdxl", "unet"): 2.567e9,
    ("sdxl", "text_encoder"): 0.123e9,
    ("sdxl", "text_encoder_2"): 0.695e9,
    ("sdxl", "vae"): 83.65e6,
    ("lcm-sdxl", "unet"): 2.5675e9,
    ("sd-1-5", "unet"): 0.8595e9,
    ("sd-2-1", "unet"): 0.8659e9,
    ("sd-2-1", "text_encoder"): 0.3404e9,
    ("flux-schnell", "transformer"): 11.9e9,
    ("flux-schnell", "text_encoder_2"): 4.76e9,
    ("sd-3-5-large-turbo", "transformer"): 8.06e9,
    ("sana-sprint", "transformer"): 1.6e9,
    ("sana-sprint", "text_encoder"): 5.23e9 / 2,
    ("sana-sprint", "vae"): 1.25e9 / 4,
    ("amused-512", "transformer"): 2.43e9 / 4,
    ("amused-512", "vqvae"): 585e6 / 4,
    ("amused-512", "text_encoder"): 0.123e9,
}
STAGES = {  # of the cascade, by repository
    ("DeepFloyd/IF-I-XL-v1.0", "unet"): 8.61e9 / 2,
    ("DeepFloyd/IF-I-XL-v1.0", "text_encoder"): 4.76e9,
    ("DeepFloyd/IF-II-L-v1.0", "safety_checker"): 608e6 / 2,
    ("stabilityai/stable-diffusion-x4-upscaler", "unet"): 1.89e9 / 4,
    ("stabilityai/stable-diffusion-x4-upscaler", "vae"): 221e6 / 4,
    ("stabilityai/stable-diffusion-x4-upscaler", "text_encoder"): 1.36e9 / 4,
}


def counted(part: dict) -> int:
    """The parameters of a part, made without memory."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in random_weights.make_part(part).parameters())


MINIATURE = shrunk(
    random_weights.architectures()[SDXL],
    unet={
        "block_out_channels": [16, 32, 32],
        "norm_num_groups": 8,
        "transformer_layers_per_block": 1,
        "attention_head_dim": [2, 4, 4],
        "cross_attention_dim": 64,
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 32 + 6 * 8,
        "layers_per_block": 1,
    },
    vae=VAE,
    text_encoder=CLIP | {"num_attention_heads": 4},
    text_encoder_2=CLIP | {"num_attention_heads": 4, "projection_dim": 32},
)


@pytest.fixture()
def miniature(monkeypatch):
    """SDXL in miniature in the place of SDXL."""
    monkeypatch.setattr(
        random_weights,
        "architectures",
        lambda: dict.fromkeys(MINIATURE["repositories"], MINIATURE),
    )


@pytest.mark.parametrize(("model", "part"), PUBLISHED)
def test_sizes_are_the_published_ones(model, part):
    made = random_weights.find(resolve(model, {}, model))["parts"][part]
    assert counted(made) == made["parameters"]
    assert counted(made) == pytest.approx(PUBLISHED[model, part], rel=0.01)


@pytest.mark.parametrize(("repository", "part"), STAGES)
def test_sizes_of_the_stages_are_the_published_ones(repository, part):
    made = random_weights.architectures()[repository]["parts"][part]
    assert counted(made) == pytest.approx(STAGES[repository, part], rel=0.01)


def test_the_sizes_of_if_are_those_of_its_cards():
    """To the digit that the cards have: 4.3 and 1.2 in 10^9."""
    known = random_weights.architectures()
    names = ("DeepFloyd/IF-I-XL-v1.0", "DeepFloyd/IF-II-L-v1.0")
    counts = [counted(known[name]["parts"]["unet"]) for name in names]
    assert [round(count / 1e9, 1) for count in counts] == [4.3, 1.2]


def test_every_part_of_every_architecture_has_its_count():
    for architecture in random_weights.architectures().values():
        for name, part in architecture["parts"].items():
            assert counted(part) == part["parameters"], name


def test_catalogue_entries_of_a_known_repository_are_known():
    known = [
        name
        for name, entry in CATALOGUE.items()
        if entry.get("repository") in random_weights.architectures()
    ]
    assert {"sdxl-turbo", "sdxl", "lcm-sdxl", "dmd2", "sd-turbo", "lcm-lora-sdv1-5"} <= set(known)
    assert {"sana-sprint", "amused-512"} <= set(known)
    for name in known:
        random_weights.find(resolve(name, {}, name))


def test_a_replaced_unet_with_embedded_guidance_has_its_layer():
    made = random_weights.find(resolve("lcm-sdxl", {}, "x"))["parts"]["unet"]
    assert made["config"]["time_cond_proj_dim"] == 256
    plain = random_weights.find(resolve("sdxl", {}, "x"))["parts"]["unet"]
    assert made["parameters"] - plain["parameters"] == 256 * 320


def test_it_renders_as_a_loaded_pipeline_does(miniature):
    spec = resolve("sdxl-turbo", {"width": 32, "height": 32}, "x")
    pipeline = random_weights.load(spec, "cpu")
    results = pipeline.render(requests(["a red cat", "two green dogs"], [0, 1]))
    assert [(result.status, result.image.size) for result in results] == [("ok", (32, 32))] * 2
    assert type(pipeline.library.scheduler).__name__ == "EulerAncestralDiscreteScheduler"
    assert pipeline.made_with["random_weights"] is True
    assert pipeline.made_with["pipeline"] == "StableDiffusionXLPipeline"
    attention = pipeline.library.unet.attn_processors.values()
    assert {type(processor) for processor in attention} == {AttnProcessor2_0}


def test_embedded_guidance_renders(miniature):
    spec = resolve("lcm-sdxl", {"width": 32, "height": 32}, "x")
    [result] = random_weights.load(spec, "cpu").render(requests(["a red cat"], [0]))
    assert result.status == "ok"


def test_the_same_weights_each_time_and_of_the_precision_asked_for():
    cpu = torch.device("cpu")
    before = torch.get_rng_state()
    one, two = (random_weights.build(MINIATURE, cpu, torch.float16) for _ in range(2))
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        weights = getattr(one, name).state_dict()
        again = getattr(two, name).state_dict()
        for key, tensor in weights.items():
            assert torch.equal(tensor, again[key]), key
            assert tensor.dtype == torch.float16 or not tensor.is_floating_point()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_default_dtype() == torch.float32


def test_prompts_fill_the_tokens_of_the_real_ones():
    tokenizer = random_weights.byte_tokenizer(length=77, bos=49406, eos=49407, pad=49407)
    ids = tokenizer(
        ["ab é", "x" * 200], padding="max_length", max_length=77, truncation=True
    ).input_ids
    assert [len(row) for row in ids] == [77, 77]
    assert ids[0][0] == 49406
    assert ids[0].index(49407) == 1 + 5  # a, b, the blank and two bytes of the accent
    assert ids[1][-1] == 49407
    assert max(max(row) for row in ids) < 49408


def test_one_without_a_beginning_keeps_clear_of_its_special_tokens():
    ids = random_weights.byte_tokenizer(length=16, eos=1, pad=0)("hello").input_ids
    assert len(ids) == 6
    assert ids[-1] == 1
    assert not {0, 1} & set(ids[:-1])


def test_the_instruction_of_sana_has_about_the_tokens_of_gemma():
    """208 of Gemma's, as published implementations have them."""
    call = inspect.signature(diffusers.SanaSprintPipeline.__call__).parameters
    instruction = "\n".join(call["complex_human_instruction"].default)
    tokenizer = random_weights.word_tokenizer(bos=2, pad=0)
    assert len(tokenizer.encode(instruction)) == pytest.approx(208, abs=4)
    assert tokenizer("a cat!", padding="max_length", max_length=6).input_ids == [2, 3, 3, 3, 0, 0]


@pytest.mark.parametrize(
    ("dtype", "kept"), [(torch.float16, torch.float32), (torch.bfloat16, torch.bfloat16)]
)
def test_t5_has_the_precision_of_a_loaded_one(tmp_path, dtype, kept):
    architecture = shrunk(random_weights.architectures()[IF[0]], **STAGE_PARTS[IF[0]])
    encoder = random_weights.build(architecture, torch.device("cpu"), dtype).text_encoder
    encoder.save_pretrained(tmp_path)
    loaded = transformers.T5EncoderModel.from_pretrained(tmp_path, dtype=dtype)
    found = {name: weight.dtype for name, weight in encoder.named_parameters()}
    assert found == {name: weight.dtype for name, weight in loaded.named_parameters()}
    assert found["encoder.block.0.layer.1.DenseReluDense.wo.weight"] == kept
    assert set(found.values()) == {dtype, kept}


@pytest.mark.parametrize(
    ("model", "changes", "says"),
    [
        ("scenes-base", {}, "its architecture is not known.*known are DeepFloyd/IF-I"),
        (
            "deepfloyd-if",
            {"stages": [{"repository": "some/IF", "steps": 1, "guidance": 1.0}]},
            r'its architecture is not known \("some/IF"\)',
        ),
        (
            "deepfloyd-if",
            {"stages": [{"repository": SDXL, "steps": 1, "guidance": 1.0}]},
            "stage 1.*is a StableDiffusionXLPipeline; allowed there is IFPipeline",
        ),
        ("sd-1-5", {"repository": "some/sd"}, r'its architecture is not known \("some/sd"\)'),
        ("sdxl", {"unet_repository": "some/unet"}, 'the architecture of "some/unet" is not known'),
    ],
)
def test_an_unknown_architecture_is_one_sentence(model, changes, says):
    with pytest.raises(ModelError, match=says):
        random_weights.load(resolve(model, changes, model), "cpu")


@pytest.fixture()
def others(monkeypatch):
    """The other architectures in miniature in their places."""
    full = random_weights.architectures()
    small = {}
    for model, parts in OTHERS.items():
        repository = CATALOGUE[model]["repository"]
        small[repository] = shrunk(full[repository], **parts)
    monkeypatch.setattr(random_weights, "architectures", lambda: small)


@pytest.mark.parametrize("model", OTHERS)
def test_every_architecture_renders(others, model):
    spec = resolve(model, {"width": 64, "height": 64, "steps": 2}, "x")
    [result] = random_weights.load(spec, "cpu").render(requests(["a red cat"], [0]))
    assert (result.status, result.image.size) == ("ok", (64, 64))


@pytest.fixture()
def cascade(monkeypatch):
    """The stages of DeepFloyd IF in miniature in their places: 8, 16 and 64 px."""
    full = random_weights.architectures()
    small = {name: shrunk(full[name], **parts) for name, parts in STAGE_PARTS.items()}
    monkeypatch.setattr(random_weights, "architectures", lambda: small)
    stages = [stage | {"steps": 2} for stage in CATALOGUE["deepfloyd-if"]["stages"]]
    return {"stages": stages, "width": 64, "height": 64}


def test_the_cascade_renders_as_a_loaded_one_does(cascade):
    pipeline = random_weights.load(resolve("deepfloyd-if", cascade, "x"), "cpu")
    results = pipeline.render(requests(["a red cat", "two green dogs"], [0, 1]))
    assert [(result.status, result.image.size) for result in results] == [("ok", (64, 64))] * 2
    assert pipeline.made_with["random_weights"] is True
    assert pipeline.made_with["pipeline"] == (
        "IFPipeline -> IFSuperResolutionPipeline -> StableDiffusionUpscalePipeline"
    )
    assert pipeline.made_with["scheduler"] == "DDPMScheduler -> DDPMScheduler -> DDIMScheduler"


def test_the_cascade_has_the_safety_filter_of_the_second_stage(cascade, monkeypatch):
    seen = []
    forward = IFSafetyChecker.forward
    monkeypatch.setattr(
        IFSafetyChecker,
        "forward",
        lambda self, *args, **kwargs: seen.append(self) or forward(self, *args, **kwargs),
    )
    pipeline = random_weights.load(resolve("deepfloyd-if", cascade, "x"), "cpu")
    pipeline.render(requests(["a red cat"], [0]))
    assert len(seen) == 1
    seen[0].p_head.bias.data.fill_(2.0)  # above 0.5: unsafe
    [result] = pipeline.render(requests(["a red cat"], [0]))
    assert (result.status, result.reason) == ("filtered", "the safety filter of stage 2: unsafe")


def test_image_to_image_has_the_pipeline_for_it(others, tmp_path):
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    spec = resolve("sd-turbo-img2img", {"width": 64, "height": 64}, "x")
    pipeline = random_weights.load(spec, "cpu")
    assert pipeline.made_with["pipeline"] == "StableDiffusionImg2ImgPipeline"
    [result] = pipeline.render([Request("p", "a red cat", 0, tmp_path / "red.png")])
    assert result.status == "ok"


def test_the_work_of_sdxl_is_the_published_one():
    """Counted on tensors without memory: 512x512, one image; 1.59 TFLOP of the UNet, 2.51 of the
    decoder, 0.11 of both text encoders (two per multiply-add)."""
    library = random_weights.build(
        random_weights.architectures()[SDXL], torch.device("meta"), torch.float16
    )
    options = {"device": "meta", "dtype": torch.float16}
    added = {
        "text_embeds": torch.empty(1, 1280, **options),
        "time_ids": torch.empty(1, 6, **options),
    }
    latents, states = torch.empty(1, 4, 64, 64, **options), torch.empty(1, 77, 2048, **options)
    ids = torch.zeros(1, 77, dtype=torch.long, device="meta")
    work = {
        "unet": lambda: library.unet(
            latents, torch.tensor(999.0, device="meta"), states, added_cond_kwargs=added
        ),
        "vae": lambda: library.vae.decode(latents),
        "text": lambda: (library.text_encoder(ids), library.text_encoder_2(ids)),
    }
    counted = {}
    for name, run in work.items():
        with FlopCounterMode(display=False) as flops, torch.no_grad():
            run()
        counted[name] = flops.get_total_flops() / 1e12
    assert counted == pytest.approx({"unet": 1.59, "vae": 2.51, "text": 0.11}, rel=0.05)
