"""What stands beside the votes: how long each model takes."""

import json

import pandas as pd

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
