"""Preference against speed: ratings over the seconds that each model takes."""

import pandas as pd

from evalkit.report.cells import Sheet, decimals, missing, sheet, span, tally, text
from evalkit.report.figures import compiled_models, seconds_words, speed_figure
from evalkit.report.results import Results
from evalkit.report.section import Part, Section

_ABSENT = "No times: the images of this study came without seconds per image."


def speed_section(results: Results) -> Section:
    """A figure per question and the table of seconds; a line where there are no times."""
    if results.speed.empty:
        return Section("speed", "Preference against speed", [Part(absent=_ABSENT)])
    words = seconds_words(results.speed)
    compiled = compiled_models(results.speed)
    said = f" Timed compiled: {', '.join(compiled)}." if compiled else ""
    drawings = [
        results.drawing(
            f"speed-{question_id}",
            f"Up is preferred, left is faster. Across: {words}, median and quartiles.{said}",
            speed_figure(results.asked("ratings", question_id), results.speed, results.stamp),
            f"Rating on {question_id} against {words}; the numbers are in the tables.",
        )
        for question_id in results.question_ids
    ]
    part = Part(
        words=[
            "The rating of each model with its 95% interval, over how long it takes. A model has "
            "no better one where none stands both higher and further left."
        ],
        drawings=drawings,
        sheets=[speed_sheet(results.speed, results.stamp_beside)],
    )
    return Section("speed", "Preference against speed", [part])


def speed_sheet(speed: pd.DataFrame, stamp: str) -> Sheet:
    """Every row of `tables.SPEED`; the caption says what the seconds are, the notes on what."""
    is_bench = "source" in speed and (speed["source"] != "generation").any()
    seconds = decimals(3)
    cells = {
        "Model": text("model"),
        "Median seconds": lambda row: (
            seconds(row["seconds_median"])
            if pd.notna(row["seconds_median"])
            else missing("no times")
        ),
        "Quartiles": lambda row: span(row["seconds_low"], row["seconds_high"], seconds),
        "calls" if is_bench else "images": tally("n"),
    }
    devices = sorted(set(speed["device_name"])) if is_bench else []
    notes = [f"Measured on {device}." for device in devices]
    compiled = compiled_models(speed)
    if compiled:
        notes.append(f"Timed compiled: {', '.join(compiled)}.")
    caption = (
        f"S{seconds_words(speed).removeprefix('s')}, after warming up"
        if is_bench
        else "Seconds per image: a batch's time over its images, first batch left out"
    )
    return sheet("speed", caption, cells, speed, names=1, stamp=stamp, notes=notes)
