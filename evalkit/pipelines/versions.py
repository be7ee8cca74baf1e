"""The versions of what decides the pixels, for the record of how images were made."""

from importlib.metadata import PackageNotFoundError, version

from evalkit import __version__


def versions(*packages: str) -> dict[str, str]:
    """The versions of evalkit and of those of the packages that are installed."""
    found = {"evalkit": __version__}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a package that only some models need
            continue
    return found
