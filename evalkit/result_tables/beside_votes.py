"""What stands beside the votes: how long each model takes, and what metrics gave it."""

import json
from pathlib import Path

import pandas as pd

from evalkit import tables
from evalkit.analysis import bench_speeds, is_compiled, median_speeds
from evalkit.errors import StudyError, first_line, listed
from evalkit.study_folder import StudyFolder


def read_speeds(folder: StudyFolder, images: pd.DataFrame) -> pd.DataFrame:
    """The latencies of bench.json where it is there; else the seconds per image of generation.

    Raises StudyError where models were timed with other settings than those of the study, or
    compiled where the study does not compile them, or the reverse.
    """
    if not folder.bench_file.is_file():
        return median_speeds(images)
    again = f"run: evalkit bench --study {folder.root}, or delete the file"
    try:
        bench = json.loads(folder.bench_file.read_text("utf-8"))
        timed = {
            model["model"]: (model["settings"], is_compiled(model)) for model in bench["models"]
        }
        speeds = bench_speeds(bench)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(
            f"{folder.bench_file}: is not what evalkit bench writes ({first_line(error)}); {again}"
        ) from None
    specs = {model.name: model for model in folder.study.models}
    other = [
        name for name in timed if name not in specs or specs[name].settings() != timed[name][0]
    ]
    if other:
        raise StudyError(
            f"{folder.bench_file}: {listed(other)} timed with other settings than those of "
            f"study.toml; {again}"
        )
    for name, (_, compiled) in timed.items():
        if compiled != getattr(specs[name], "compile", False):
            raise StudyError(
                f"{folder.bench_file}: {name} was timed {'' if compiled else 'un'}compiled, and "
                f"study.toml has compile = {str(not compiled).lower()}; {again}"
            )
    return speeds


def read_beside(files: Path, table: tables.Table) -> pd.DataFrame:
    """The rows of every CSV in a folder of metrics' tables; empty where there is none."""
    found = [tables.read(file, table) for file in sorted(files.glob("*.csv"))]
    return pd.concat(found, ignore_index=True) if found else table.empty()


def read_scores(folder: StudyFolder, images: pd.DataFrame) -> pd.DataFrame:
    """The scores of the images that are ok; StudyError where a metric lacks some of them."""
    ok = images.loc[images["status"] == "ok", "image_id"]
    kept = [tables.SCORES.empty()]
    for file in sorted(folder.scores.glob("*.csv")):
        scores = tables.read(file, tables.SCORES)
        scores = scores[scores["image_id"].isin(ok)]
        lacking = len(ok) - scores.groupby("weights")["image_id"].nunique().min()
        if scores.empty or lacking:
            raise StudyError(
                f"{file}: not every image of the study has a score; made before its images were; "
                f"run: evalkit score {folder.root} --metric {file.stem}, or delete the file"
            )
        kept.append(scores)
    return pd.concat(kept[1:] or kept, ignore_index=True)
