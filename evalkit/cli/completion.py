"""What the shell completes: study folders, models, presets; nothing is loaded before it asks."""

from pathlib import Path


def study_folders(incomplete: str) -> list[str]:
    """Folders that are studies, and those on the way to one, which end in a slash."""
    typed = Path(incomplete or ".")
    parent = typed if incomplete.endswith("/") or not incomplete else typed.parent
    found = []
    for path in sorted(parent.glob("*/")):
        name = str(path)
        if name.startswith(incomplete) and not path.name.startswith("."):
            found.append(name if (path / "study.toml").is_file() else f"{name}/")
    return found


def model_names(incomplete: str) -> list[str]:
    """Names of the catalogue."""
    from evalkit.models import CATALOGUE

    return [name for name in CATALOGUE if name.startswith(incomplete)]


def preset_names(incomplete: str) -> list[str]:
    """Study files to begin with."""
    from evalkit.presets import PRESETS

    return [name for name in PRESETS if name.startswith(incomplete)]
