"""methods.md: how the study was done, in paragraphs for a paper, from its own files alone."""

import re
from typing import Any

from evalkit import tables
from evalkit.report.datasheet import flatten
from evalkit.report.results import Results
from evalkit.report.terms import CHOICES, ties_counted
from evalkit.wording import counted, exclusion_sentence

_MARKS = re.compile(r"([\\`*_<>\[\]#|])")
_ENTRIES = {
    "personal": "Annotators came by personal links that the coordinator gave out.",
    "prolific": "Annotators came from Prolific (at most {limit}), or by personal links.",
    "open": "Annotators came by one open link (at most {limit} people), or by personal links.",
}


def methods(results: Results, now: str) -> str:
    """The text of methods.md: a heading and one or more paragraphs per part of the method.

    What the files of the study do not say is not in it.
    """
    parts = {
        "Prompts and images": [_prompts(results), _images(results)],
        "Models": [_models(results), _software(results.manifest)],
        "Questions": [_questions(results)],
        "Annotators": [_annotators(results), _consent(results)],
        "Design": [_design(results), _checks(results)],
        "Votes that count": [_exclusions(results)],
        "Analysis": [_analysis(results), _stopping(results)],
        "Record": [_record(results, now)],
    }
    lines = ["# Methods", *_first(results)]
    for title, paragraphs in parts.items():
        lines += [f"## {title}", *filter(None, paragraphs)]
    return "\n\n".join(lines) + "\n"


def plain(text: str) -> str:
    """A text of the study in one line, so that Markdown prints it as it stands."""
    return _MARKS.sub(r"\\\1", " ".join(str(text).split()))


def _first(results: Results) -> list[str]:
    """What must be known before anything else: who voted, and whether all votes are in."""
    banner = results.planned_votes.banner
    if not results.simulated:
        return [f"**{plain(banner)}**"] if banner else []
    said = flatten(results.summary.get("simulation", {}))
    stated = "; ".join(f"{name}: {value}" for name, value in said)
    simulated = (
        f"**{tables.SIMULATED}: votes of this study were made by a program, not by people.** "
        "Below, annotators are simulated annotators: what is said of people was not done with any."
    )
    paragraphs = [simulated + (f" Simulated from: {plain(stated)}." if stated else "")]
    return [*paragraphs, f"**{plain(banner)}**"] if banner else paragraphs


def _prompts(results: Results) -> str:
    source, record = results.study.prompts, results.prompts_record
    n = len(results.prompts)
    how = {
        "first": "the first of them in its order",
        "random": f"drawn at random with seed {results.study.seed}",
        "stratified": f"drawn in proportion to {source.stratify} with seed {results.study.seed}",
    }[source.draw]
    text = f"We used {counted(n, 'prompt')} of the source {plain(source.source)}"
    if source.revision:
        text += f" (revision {plain(source.revision)})"
    text += ", all of them." if source.n is None else f", {how}."
    if record:
        read = record["source"]
        dropped = [f"{k} {why.replace('_', '-')}" for why, k in read["dropped"].items() if k]
        text += f" The source has {counted(read['rows'], 'row')}; dropped: "
        text += f"{', '.join(dropped) or 'none'}."
        if "sha256" in read:
            text += f" Its SHA-256 is {read['sha256']}."
        text += _cut(record.get("models", {}))
    categories = results.prompts.loc[results.prompts["category"] != "", "category"]
    if len(categories):
        counts = categories.value_counts(sort=False)
        named = ", ".join(f"{plain(name)} {k}" for name, k in counts.items())
        text += f" Prompts by category: {named}."
    return text


def _cut(models: dict[str, Any]) -> str:
    """Which models read only the beginning of some prompts."""
    cut = [
        f"{plain(name)} {len(model['over_long'])} (limit {model['limit_tokens']} tokens)"
        for name, model in models.items()
        if model["over_long"]
    ]
    return f" Prompts that a model cuts at its limit: {', '.join(cut)}." if cut else ""


def _images(results: Results) -> str:
    study, images = results.study, results.images
    seeds = ", ".join(str(seed) for seed in study.images.seeds)
    n_seeds = len(study.images.seeds)
    text = (
        f"Each model made one image per prompt and seed ({counted(n_seeds, 'seed')}: {seeds}); "
        "images of one pair share prompt and seed. "
        f"Annotators saw every image on one square canvas of {study.images.viewing_size} pixels "
        "to a side, without metadata, under a random file name."
    )
    missing = images[images["status"] != "ok"]
    if missing.empty:
        return text + f" All {counted(len(images), 'image')} were made."
    counts = missing.groupby(["model", "status"], sort=True).size()
    named = ", ".join(f"{plain(model)} {k} {status}" for (model, status), k in counts.items())
    return text + f" Of {counted(len(images), 'image')} these could not be shown: {named}."


def _models(results: Results) -> str:
    lines = [f"We compared {counted(len(results.study.models), 'model')}:", ""]
    for model in results.study.models:
        content = model.model_dump(exclude={"name"}, exclude_defaults=True, mode="json")
        settings = ", ".join(f"{name} {value}" for name, value in flatten(content))
        commits = _found(results.manifest, model.name, "commit")
        if commits:
            settings += f", commit {', '.join(commits)}"
        lines.append(f"- {plain(model.name)}: {plain(settings)}.")
    return "\n".join(lines)


def _software(manifest: dict[str, Any]) -> str:
    """Versions and devices that made the images, as the manifest has them."""
    runs = [run for made in manifest.get("models", {}).values() for run in made.get("runs", [])]
    versions: dict[str, list[str]] = {}
    for run in runs:
        for name, version in run.get("versions", {}).items():
            versions.setdefault(name, []).append(str(version))
    said = [f"{name} {' and '.join(dict.fromkeys(found))}" for name, found in versions.items()]
    devices = dict.fromkeys(run["device_name"] for run in runs if run.get("device_name"))
    noise = manifest.get("notes", {}).get("noise")
    text = f"Images were made with {plain(', '.join(said))}" if said else ""
    text += f" on {plain(', '.join(devices))}" if said and devices else ""
    text += "." if said else ""
    return (text + (f" Noise: {plain(noise)}." if noise else "")).strip()


def _found(manifest: dict[str, Any], model: str, key: str) -> list[str]:
    """The values of a key in the runs that made a model's images, each once."""
    runs = manifest.get("models", {}).get(model, {}).get("runs", [])
    return list(dict.fromkeys(str(run[key]) for run in runs if run.get(key)))


def _questions(results: Results) -> str:
    lines = ["Two images stood side by side under one question, in this order of questions:", ""]
    for question in _in_asked_order(results):
        shown = "with the prompt above the images" if question.show_prompt else "without the prompt"
        choices = ", ".join(CHOICES[choice] for choice in question.choices)
        asked = f'{plain(question.id)}: "{plain(question.text)}"'
        lines.append(f"- {asked}, {shown}; answers offered: {choices}.")
    return "\n".join(lines)


def _in_asked_order(results: Results) -> list[Any]:
    """Questions that do not show the prompt are asked before those that do."""
    return sorted(results.study.questions, key=lambda question: question.show_prompt)


def _annotators(results: Results) -> str:
    main = results.comparisons[results.comparisons["kind"] == "main"]
    votes = main["annotator_id"].value_counts()
    who = "simulated annotators" if results.simulated else "annotators"
    text = (
        f"{len(votes):,} {who} gave the {counted(len(main), 'main vote')} that count, "
        f"{votes.min()} to {votes.max()} each (median {votes.median():g}), at most "
        f"{results.study.design.trials_per_annotator} trials each."
    )
    if results.simulated:
        return text
    entry = results.study.entry
    return f"{text} {_ENTRIES[entry.kind].format(limit=entry.limit)}"


def _consent(results: Results) -> str:
    if results.simulated:
        return ""
    session = results.study.session
    return (
        f'Before the first trial each annotator agreed to this text: "{plain(session.consent)}" '
        f'They then read: "{plain(session.instructions)}" The page was in the language '
        f'"{plain(session.language)}".'
    )


def _design(results: Results) -> str:
    design = results.study.design
    pairs = (
        "Every pair of models"
        if design.pairs == "all"
        else f"The pairs {'; '.join(f'{plain(a)} - {plain(b)}' for a, b in design.pairs)}"
    )
    policy = {
        "uniform": "pairs with the fewest votes came first, in random order",
        "adaptive": (
            "pairs came with a chance that grows with the doubt about which model is better, mixed "
            f"with a share of {design.uniform_share:g} of uniform choice"
        ),
    }[design.policy]
    return (
        f"{pairs} was compared on every prompt and seed, with "
        f"{counted(design.votes_per_pair, 'vote')} planned per pair of images and question, each "
        f"by another annotator; {policy}. Which image stood left was balanced within each "
        "annotator and pair of models, and drawn at random where it was even. Names of "
        "models were never on the page. No answer was taken sooner than "
        f"{design.min_viewing_ms} ms after the pair was shown. The study's seed is "
        f"{results.study.seed}."
    )


def _checks(results: Results) -> str:
    design, summary = results.study.design, results.summary
    attention = summary["attention"]
    text = (
        f"{100 * design.attention_share:g}% of an annotator's trials were attention checks with a "
        f"known answer, {100 * design.repeat_share:g}% showed an earlier pair again with its sides "
        "swapped, and "
        f"each question began with {counted(design.practice_trials, 'practice trial')}; none of "
        "these counts in the results."
    )
    if attention["n"]:
        text += f" Attention checks passed: {attention['passed']:,} of {attention['n']:,}."
    return text


def _exclusions(results: Results) -> str:
    summary = results.summary
    text = (
        f"The rules of exclusion were fixed before the votes: {plain(summary['exclusion_rule'])}."
    )
    said = [
        f"{plain(row['rule'].replace('_', ' '))}: {counted(row['n_annotators'], 'annotator')} with "
        f"{counted(row['n_votes'], 'main vote')}"
        for row in results.exclusions.to_dict("records")
    ]
    text += f" By rule, and in all: {'; '.join(said)}." if said else ""
    return text + (f" {exclusion_sentence(summary)}" if summary["votes_excluded"] else "")


def _analysis(results: Results) -> str:
    win_rates = "; ".join(sorted(set(results.win_rates["method"])))
    ratings = "; ".join(sorted(set(results.ratings["method"])))
    options, counted_as = results.summary.get("options", {}), ties_counted(results.win_rates)
    counted_as = f"; {counted_as}" if counted_as else ""
    text = (
        "A win rate is the share of the comparisons of two models that one of them won"
        f"{counted_as} ({plain(win_rates)}). P-values are corrected by Holm over the pairs of one "
        "question. "
        f"Ratings: {plain(ratings)}."
    )
    if "seed" in options:
        text += f" Random draws of the analysis have the seed {options['seed']}."
    scored = results.mean_scores[["metric", "weights"]].drop_duplicates()
    if len(scored):
        named = "; ".join(f"{row.metric} with weights {row.weights}" for row in scored.itertuples())
        text += f" Automatic metrics: {plain(named)}."
    return text


def _stopping(results: Results) -> str:
    votes, looks = results.planned_votes, results.summary["planned_votes"]["early_looks"]
    rule = {
        "planned": "Results were to be looked at once every planned vote was there",
        "anytime": "Results could be looked at at any time, with intervals that hold at every look",
    }[votes.rule]
    text = f"{rule}; {votes.given:,} of {votes.planned:,} planned votes were there at the analysis."
    if votes.rule != "planned":
        return text
    early = "; ".join(
        f"{look['given']:,} of {look['planned']:,} votes at {look['at']}" for look in looks
    )
    return f"{text} Earlier looks at results: {early or 'none'}."


def _record(results: Results, now: str) -> str:
    lock = results.lock
    text = f"The study file has the SHA-256 {results.study.sha256}."
    if lock:
        text += (
            f" Study, prompts and images were locked at {lock['locked_at']} before the votes by "
            f"evalkit {lock['evalkit']} (SHA-256 of the prompts {lock['prompts_sha256']}, of the "
            f"images {lock['images_sha256']})."
        )
    return f"{text} This text was written by evalkit at {now} from the files of the study."
