"""Where prompts come from: a set of this package, PartiPrompts, a file, a folder or the hub."""

from pathlib import Path

from evalkit.errors import StudyError, listed, nearest
from evalkit.prompts.formats import READERS, SourceRows, read_file, read_folder
from evalkit.prompts.hub import read_hub, read_partiprompts
from evalkit.study_sections import PromptSource

HUB = "hub:"
_PARTIPROMPTS = "partiprompts"
_ON_THE_HUB_ONLY = ("config", "split", "revision")


def builtin_folder() -> Path:
    """The folder of the prompt sets that come with evalkit."""
    package = Path(__file__).parents[1]
    packaged = package / "prompt_sets"
    return packaged if packaged.is_dir() else package.parent / "prompts"


def builtin_sets() -> list[str]:
    """Names of the prompt sets that come with evalkit."""
    return sorted(path.stem for path in builtin_folder().glob("*.tsv"))


def read_source(settings: PromptSource, folder: Path) -> SourceRows:
    """The rows of `settings.source`, unchecked; files are looked up from `folder`.

    Raises StudyError where the source is unknown, missing or unreadable, and where a setting of
    hub data sets stands beside a source that is none.
    """
    source = settings.source
    _refuse_hub_settings(settings)
    if source in builtin_sets():
        return read_file(builtin_folder() / f"{source}.tsv", where=source)
    if source == _PARTIPROMPTS:
        return read_partiprompts(settings.revision)
    if source.startswith(HUB):
        return read_hub(
            source.removeprefix(HUB), settings.config, settings.split, settings.revision
        )
    path = folder / source
    if path.is_dir():
        return read_folder(path)
    if path.suffix.lower() in READERS:
        if not path.is_file():
            raise StudyError(
                f'prompts: no file "{path}"; prompts.source is a file beside study.toml, or one of '
                f"{listed(_known())}"
            )
        return read_file(path)
    raise StudyError(
        f'prompts: unknown source "{source}"; allowed are {listed(_known())}, hub:OWNER/NAME, a '
        f"folder of .txt files, or a file ending in {listed(READERS)}{nearest(source, _known())}"
    )


def _known() -> list[str]:
    return [*builtin_sets(), _PARTIPROMPTS]


def _refuse_hub_settings(settings: PromptSource) -> None:
    source = settings.source
    allowed = _ON_THE_HUB_ONLY if source.startswith(HUB) else ()
    if source == _PARTIPROMPTS:
        allowed = ("revision",)
    for key in _ON_THE_HUB_ONLY:
        if getattr(settings, key) is not None and key not in allowed:
            raise StudyError(
                f'prompts: {key} = "{getattr(settings, key)}" changes nothing for the source '
                f'"{source}"; it is for data sets of the hub (hub:OWNER/NAME); take it out'
            )
