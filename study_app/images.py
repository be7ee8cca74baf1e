"""The public images of a trial or an example: a side each, alike in all but their pixels."""

from pathlib import Path

from starlette.responses import Response

from evalkit.blinding import padded
from study_app.answers import NO_STORE, RefusedError, Visit
from study_app.votes import own_trial


def trial_image(visit: Visit, place: dict[str, str]) -> Response:
    """One side of one of the annotator's trials."""
    trial = own_trial(visit, place["trial_id"])
    return _side(visit.served.blinded, place["side"], trial.left_file, trial.right_file)


def example_image(visit: Visit, place: dict[str, str]) -> Response:
    """One side of a question's example."""
    example = visit.served.store.example(place["question_id"])
    if example is None:
        raise RefusedError(404, "no such example")
    return _side(visit.served.blinded, place["side"], example.left_file, example.right_file)


def _side(folder: Path, side: str, left: str, right: str) -> Response:
    names = {"left": left, "right": right}
    if side not in names:
        raise RefusedError(404, "a side is left or right")
    length = max((folder / name).stat().st_size for name in names.values())
    content = padded((folder / names[side]).read_bytes(), length)
    # Compressed on the way, the padding would shrink and the lengths differ again.
    headers = {**NO_STORE, "Content-Encoding": "identity"}
    return Response(content, media_type="image/png", headers=headers)
