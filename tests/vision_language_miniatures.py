"""Miniature vision-language models of the real classes, saved in the layout that the hub has.

Their tokenizer knows single bytes and the answers that the metrics ask for.
"""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

ANSWERS = ("Yes", "No", "A", "B")
_SPECIAL = ("<|pad|>", "<|start|>", "<|end|>", "<|vision|>", "<|/vision|>", "<image>", "<video>")
_TEMPLATE = (
    "{%% for m in messages %%}<|start|>{{ m.role }}\n{%% for part in m.content %%}"
    "{%% if part.type == 'image' %%}%s{%% else %%}{{ part.text }}{%% endif %%}{%% endfor %%}"
    "<|end|>\n{%% endfor %%}{%% if add_generation_prompt %%}<|start|>assistant\n{%% endif %%}"
)
QWEN_IMAGE = "<|vision|><image><|/vision|>"
_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
}


def qwen3_vl(folder: Path, seed: int = 0, answers: tuple[str, ...] = ANSWERS) -> Path:
    """Qwen3-VL, the class of the default weights: images of any size, packed patches."""
    torch.manual_seed(seed)
    tokens = _vocabulary(answers)
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]}
    text = _TEXT | {"num_key_value_heads": 1, "head_dim": 16, "rope_parameters": rope}
    config = Qwen3VLConfig(
        text_config=text | {"vocab_size": len(tokens)},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_heads": 2,
            "patch_size": 8,
            "out_hidden_size": 32,
            "deepstack_visual_indexes": [0],
            "num_position_embeddings": 64,
        },
        image_token_id=tokens["<image>"],
        video_token_id=tokens["<video>"],
        vision_start_token_id=tokens["<|vision|>"],
        vision_end_token_id=tokens["<|/vision|>"],
    )
    model = _telling(Qwen3VLForConditionalGeneration(config))
    template = _TEMPLATE % QWEN_IMAGE
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(
            patch_size=8, merge_size=2, size={"shortest_edge": 32 * 32, "longest_edge": 64 * 64}
        ),
        tokenizer=_tokenizer(answers, template),
        video_processor=Qwen3VLVideoProcessor(patch_size=8, merge_size=2),
        chat_template=template,
    )
    return _saved(folder, model, processor)


def llava(folder: Path, seed: int = 1) -> Path:
    """LLaVA: CLIP's vision and Llama, images of one size."""
    torch.manual_seed(seed)
    tokens = _vocabulary(ANSWERS)
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=LlamaConfig(**_TEXT, vocab_size=len(tokens)),
        image_token_index=tokens["<image>"],
    )
    template = _TEMPLATE % "<image>"
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
        tokenizer=_tokenizer(ANSWERS, template),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    return _saved(folder, _telling(LlavaForConditionalGeneration(config)), processor)


def _saved(folder: Path, model: torch.nn.Module, processor: object) -> Path:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _telling(model: torch.nn.Module) -> torch.nn.Module:
    """The model with weights so large that other images get clearly other answers."""
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            weight.data.mul_(20 if name.startswith("lm_head") else 4)
    return model


def _vocabulary(answers: tuple[str, ...]) -> dict[str, int]:
    spelled = [answer[:end] for answer in answers for end in range(1, len(answer) + 1)]
    tokens = [*_SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *spelled]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}


def _tokenizer(answers: tuple[str, ...], template: str) -> PreTrainedTokenizerFast:
    merges = [(word[:end], word[end]) for word in answers for end in range(1, len(word))]
    tokenizer = Tokenizer(models.BPE(vocab=_vocabulary(answers), merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",
        pad_token="<|pad|>",
        additional_special_tokens=list(_SPECIAL[1:]),
        extra_special_tokens={"image_token": "<image>"},
        chat_template=template,
    )
    made.image_token = "<image>"
    return made
