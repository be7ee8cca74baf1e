"""Judges that see two images: which is better, per question and pair -> judgements/<metric>.csv."""

import pandas as pd

from evalkit import tables
from evalkit.content import judgement_contents
from evalkit.design import plan_pairs
from evalkit.errors import EvalkitError, StudyError
from evalkit.scoring.images import ok_images
from evalkit.scoring.metric_run import Run
from evalkit.scoring.unit import Unit, hash_images
from evalkit.scoring.writing import write_beside

_GIVEN = ["a_when_first", "a_when_second", "score"]


def judge_pairs(run: Run) -> pd.DataFrame:
    """Judge every pair by every question of the study, in both orders (`tables.JUDGEMENTS`).

    The pairs are those that annotators are shown, or will be, and the judge reads the prompt where
    they do. Raises StudyError where no two models
    have an image of one prompt and seed, EvalkitError on a probability outside 0 to 1.
    """
    folder, job = run.folder, run.job
    images = ok_images(run).set_index("image_id")
    pairs = _read_pairs(run, images)
    prompts = folder.read_prompt_texts(pairs["prompt_id"])
    hashes = hash_images(folder, images["file_name"], images["sha256"])
    units, rows = [], []
    hashed = images.reset_index().assign(sha256=[hashes[name] for name in images["file_name"]])
    contents = judgement_contents(pairs, hashed, prompts, folder.study.questions)
    for question in folder.study.questions:
        for pair in pairs.itertuples():
            names = images.loc[[pair.image_a, pair.image_b], "file_name"].tolist()
            files = tuple(folder.images / name for name in names)
            units.append(
                Unit(
                    label=f"{files[0]} and {files[1]}",
                    files=files,
                    hashes=tuple(hashes[name] for name in names),
                    prompt=prompts[pair.prompt_id] if question.show_prompt else "",
                    question=question.text,
                )
            )
            rows.append(question.id)
    answers = run.answer(units)
    given = pd.DataFrame([answers[unit.key] for unit in units])[_GIVEN]
    _require_probabilities(given, units)
    columns = ["pair_id", "prompt_id", "seed", "model_a", "model_b"]
    repeated = pd.concat([pairs[columns]] * len(folder.study.questions), ignore_index=True)
    judged = repeated.assign(
        question_id=rows, metric=job.metric, weights=run.weights, **given.to_dict("series"),
        content=list(contents.values()),
    )  # fmt: skip
    about = ["question_id", "pair_id"]
    write_beside(run, judged, folder.judgements, tables.JUDGEMENTS, about, lambda before: contents)
    return judged


def _read_pairs(run: Run, images: pd.DataFrame) -> pd.DataFrame:
    """The pairs of the study, from pairs.csv where collection has made it."""
    folder = run.folder
    if not folder.pairs_file.is_file():
        pairs = plan_pairs(images.reset_index(), folder.study)
    else:
        pairs = tables.read(folder.pairs_file, tables.PAIRS)
        gone = ~(pairs["image_a"].isin(images.index) & pairs["image_b"].isin(images.index))
        if gone.any():
            raise StudyError(
                f"{folder.pairs_file}: {gone.sum()} of {len(pairs)} pairs are of images that "
                f"images.csv does not list as ok; make them again with: evalkit generate "
                f"{folder.root}"
            )
    if pairs.empty:
        raise StudyError(
            f"{folder.root}: no two models have an image of the same prompt and seed, so there is "
            "no pair to judge; see images.csv"
        )
    return pairs


def _require_probabilities(given: pd.DataFrame, units: list[Unit]) -> None:
    outside = ((given < 0) | (given > 1)).any(axis=1).to_numpy()
    for place in outside.nonzero()[0][:1]:
        raise EvalkitError(
            f"{units[place].label}: judged with {given.iloc[place].tolist()}; a judgement is a "
            "probability from 0 to 1; look at the metric"
        )
