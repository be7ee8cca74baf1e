"""One sentence for the first mistake that pydantic finds in what a user wrote."""

from pydantic import BaseModel, ValidationError

from evalkit.errors import listed, nearest


def first_mistake(error: ValidationError, where: str, model: type[BaseModel] | None = None) -> str:
    """*where: place: what was found; what is allowed*, for the first of the errors.

    With `model`, an unknown key is answered with the keys that stand beside it.
    """
    mistakes = error.errors()
    unknown = [mistake for mistake in mistakes if mistake["type"] == "extra_forbidden"]
    mistake = (unknown or mistakes)[0]  # a misspelled key explains the one that is missing
    place = ".".join(str(part) for part in mistake["loc"]) or "file"
    found = mistake["input"]
    if mistake["type"] == "extra_forbidden":
        allowed = _keys_beside(model, mistake["loc"])
        key = str(mistake["loc"][-1])
        return (
            f'{where}: unknown key "{place}"; allowed are {listed(allowed)}{nearest(key, allowed)}'
        )
    if mistake["type"] == "missing":
        return f'{where}: key "{place}" is missing; add it'
    if mistake["type"] == "literal_error":
        allowed = [
            part.strip(" '") for part in mistake["ctx"]["expected"].replace(" or ", ",").split(",")
        ]
        return (
            f'{where}: {place} = "{found}"; allowed are {listed(allowed)}'
            f"{nearest(str(found), allowed)}"
        )
    reason = mistake["msg"].removeprefix("Value error, ")
    reason = reason[0].lower() + reason[1:]
    return f"{where}: {place} = {found!r}; {reason}; correct it there"


def _keys_beside(model: type[BaseModel] | None, location: tuple[int | str, ...]) -> list[str]:
    for part in location[:-1]:
        if model is None or isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        model = _inner_model(annotation)
    return list(model.model_fields) if model is not None else []


def _inner_model(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        inner = _inner_model(argument)
        if inner is not None:
            return inner
    return None
