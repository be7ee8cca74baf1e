"""The app with leaks planted: `python -P leaking_app.py LEAK,LEAK --store ... --blinded ...`.

The variable EVALKIT_PLANT holds the models of the public files as JSON, which the app never has.
"""

import json
import os
import sys
import time
from collections.abc import Mapping

from study_app import answers, images, routes, served, views
from study_app.__main__ import main

MODELS = json.loads(os.environ["EVALKIT_PLANT"])
MODEL = "secret-alpha"


def every_image(change) -> None:
    """Answers every image through `change(response, model)`."""
    plain = images._side

    def side(folder, wanted, left, right):
        response = plain(folder, wanted, left, right)
        change(response, MODELS.get({"left": left, "right": right}[wanted], ""))
        return response

    images._side = side


def every_trial(change) -> None:
    """Shows every trial to the page as `change(view, trial)` makes it."""
    plain = views._trial_view
    views._trial_view = lambda study, trial: change(plain(study, trial), trial)


def header_by_model() -> None:
    def change(response, model):
        response.headers["X-Served-In"] = str(len(model) % 12)

    every_image(change)


def etag() -> None:
    def change(response, model):
        response.headers["ETag"] = f'"{len(model)}"'

    every_image(change)


def storable() -> None:
    answers.NO_STORE["Cache-Control"] = "private, max-age=3600"


def unpadded() -> None:
    images.padded = lambda data, length: data


def other_bytes() -> None:
    def change(response, model):
        if model == MODEL:
            response.body = response.body[:-1] + b"\1"

    every_image(change)


def slow_model() -> None:
    every_image(lambda _, model: time.sleep(0.03 * (model == MODEL)))


def kind_as_key() -> None:
    every_trial(lambda view, trial: {**view, "kind": trial.kind})


def kind_as_value() -> None:
    every_trial(lambda view, trial: {**view, "practice": trial.kind})


def pair_id() -> None:
    every_trial(lambda view, trial: {**view, "pair_id": trial.pair_id})


def every_question(word) -> None:
    """Writes `word(trial)` behind the question."""
    every_trial(lambda view, trial: {**view, "question": f"{view['question']} [{word(trial)}]"})


def pair_id_in_the_question() -> None:
    every_question(lambda trial: trial.pair_id)


def file_name() -> None:
    every_question(lambda trial: trial.left_file)


def prompt_where_hidden() -> None:
    every_trial(lambda view, trial: {**view, "prompt": trial.prompt})


def prompt_in_the_question() -> None:
    every_question(lambda trial: trial.prompt)


def feedback_always() -> None:
    plain = routes.cast_vote

    def cast(visit, body):
        return {"feedback": {"right": True, "expected": "left", "foil": ""}, **plain(visit, body)}

    routes.cast_vote = cast


def model_in_the_question() -> None:
    every_question(lambda trial: MODELS.get(trial.left_file))


def model_in_the_page() -> None:
    """Nothing but the frames of the page's websocket has it."""
    plain = served.Served.texts

    def texts(self) -> Mapping:
        return {**plain(self), "title": f"Images ({MODEL})"}

    served.Served.texts = texts


if __name__ == "__main__":
    for leak in sys.argv.pop(1).split(","):
        globals()[leak]()
    main()
