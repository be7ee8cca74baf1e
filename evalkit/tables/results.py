"""Tables of results: what is estimated from comparisons, scores and times."""

from evalkit.tables.columns import (
    AGREEMENT_MEASURES,
    DECISIONS,
    METRIC_MEASURES,
    SPEED_SOURCES,
    TIES_RULES,
    VOTE_SOURCE,
    Column,
    Table,
    count,
    number,
    text,
)

_WIN_RATE_COLUMNS = (
    *text("question_id", "model_a", "model_b"),
    *text("by", required=False),  # a column of the votes, and its value in the row's votes
    *text("value", required=False, empty=True),
    *count("wins_a", "wins_b", "ties", "both_bad", "n", "n_prompts", "n_annotators"),
    *number("win_rate_a", "ci_low", "ci_high", "p_value", "p_holm"),
    *number("p_holm_all", "p_sign", "n_effective", "both_bad_share", required=False),
    Column("ties_rule", allowed=TIES_RULES, required=False),
    *text("interval", required=False),
    Column("seed", "integer", required=False, empty=True),
    *text("method"),
    VOTE_SOURCE,
)
WIN_RATES = Table(
    "win_rates",
    _WIN_RATE_COLUMNS,
    key=("question_id", "model_a", "model_b", "value"),
)
TIE_RULES = Table(
    "tie_rules",
    _WIN_RATE_COLUMNS,
    key=("question_id", "model_a", "model_b", "ties_rule"),
)
ANYTIME = Table(
    "anytime",
    (
        *text("question_id", "model_a", "model_b"),
        *count("n", "n_prompts", "n_annotators"),
        *count("complete_prompts", "planned_prompts", "planned_votes"),
        *number("win_rate_a", "ci_low", "ci_high", "e_value", "p_value", "p_holm"),
        Column("decision", allowed=DECISIONS),
        *text("warning", "method"),
        VOTE_SOURCE,
    ),
    key=("question_id", "model_a", "model_b"),
)
LEFT_SHARE = Table(
    "left_share",
    (
        *text("question_id"),
        *text("by", required=False),
        *text("value", required=False, empty=True),
        *count("n_left", "n_right", "ties", "both_bad", "n_unknown"),
        *count("n", "n_prompts", "n_annotators"),
        *number("left_share", "ci_low", "ci_high", "p_value", "p_holm", "n_effective"),
        *number("half_share", "half_low", "half_high", "half_p"),
        *count("n_half"),
        Column("seed", "integer", required=False, empty=True),
        *text("method"),
        VOTE_SOURCE,
    ),
    key=("question_id", "value"),
)
RATINGS = Table(
    "ratings",
    (
        *text("question_id", "model"),
        *number("rating", "ci_low", "ci_high", "elo"),
        *number("rank_low", "rank_high"),
        *count("n"),
        *text("method"),
        Column("converged", "flag"),
        *number("se", "elo_low", "elo_high", required=False),
        Column("tied_for_first", "flag", required=False, empty=True),  # no model shown to be better
        *number("tie_parameter", required=False),
        *number("position_effect", "position_low", "position_high", required=False),
        VOTE_SOURCE,
    ),
    key=("question_id", "model"),
)
STABILITY = Table(
    "stability",
    (
        *text("question_id", "model"),
        Column("dropped", allowed=("annotator", "prompt")),
        *number("rating", "largest_change"),
        *text("without", empty=True),  # whom, or which prompt, that change leaves out
        *number("rank", "rank_low", "rank_high"),
        *count("n_refitted", "n_clusters"),
        *text("method"),
        VOTE_SOURCE,
    ),
    key=("question_id", "model", "dropped"),
)
ELO = Table(
    "elo",
    (
        *text("question_id", "model"),
        *number("elo", "elo_low", "elo_high", "mean_field"),
        *count("n", "orders", "seed"),
        *text("method"),
        VOTE_SOURCE,
    ),
    key=("question_id", "model"),
)
AGREEMENT = Table(
    "agreement",
    (
        *text("question_id"),
        Column("measure", allowed=AGREEMENT_MEASURES),
        *number("estimate", "ci_low", "ci_high"),
        *count("n", "n_units", "n_annotators"),
        *text("method"),
        *number("bootstrap_low", "bootstrap_high"),  # over prompts, with these annotators
        Column("seed", "integer", empty=True),
        VOTE_SOURCE,
    ),
    key=("question_id", "measure"),
)
ANNOTATORS = Table(
    "annotators",
    (
        *text("annotator_id"),
        *count("n_votes"),
        *number("median_ms", "fast_share"),
        *count("n_decided"),
        *number("left_share", "left_low", "left_high", "tie_share"),
        *count("attention_passed", "attention_n", "practice_right", "practice_n"),
        *count("repeats_consistent", "repeats_n"),
        *number("agreement"),
        *count("agreement_n"),
        *number("outlier_distance"),
        *count("outlier_n"),
        Column("longest_run", "integer", empty=True),
        *text("flags", "excluded_by", required=False, empty=True),
        VOTE_SOURCE,
    ),
    key=("annotator_id",),
)
EXCLUDED = Table(
    "excluded",
    (*text("annotator_id", "rule"), *number("value", "limit")),
    key=("annotator_id", "rule"),
)
EXCLUSIONS = Table(
    "exclusions",
    (
        *text("rule"),
        *number("limit"),
        Column("least", "integer", empty=True),
        Column("n_judged", "integer", empty=True),
        *count("n_annotators", "n_votes"),
        VOTE_SOURCE,
    ),
    key=("rule",),
)
SENSITIVITY = Table(
    "sensitivity",
    (
        *text("measure", "question_id"),
        *text("model_a", "model_b", "model", empty=True),
        *number("estimate", "ci_low", "ci_high"),
        *count("n"),
        *number("estimate_all", "ci_low_all", "ci_high_all"),
        *count("n_all"),
        *number("change"),
        VOTE_SOURCE,
    ),
    key=("measure", "question_id", "model_a", "model_b", "model"),
)
MEAN_SCORES = Table(
    "mean scores",
    (
        *text("metric", "weights", "model"),
        *number("mean", "ci_low", "ci_high"),
        *count("n", "n_prompts"),
        *text("method"),
        VOTE_SOURCE,
    ),
    key=("metric", "weights", "model"),
)
SPEED = Table(
    "speed",
    (
        *text("model"),
        *number("seconds_median", "seconds_low", "seconds_high"),
        *count("n"),
        Column("source", allowed=SPEED_SOURCES, required=False),
        Column("batch_size", "integer", required=False, empty=True),
        *text("device_name", required=False, empty=True),
        Column("compiled", "flag", required=False),
        VOTE_SOURCE,
    ),
    key=("model",),
)
MARGINS = Table(
    "margins",
    (
        *text("question_id", empty=True),  # "" where the metric's scores serve every question
        *text("metric", "weights", "pair_id", "prompt_id"),
        *count("seed"),
        *text("model_a", "model_b"),
        *number("score_a", "score_b", empty=False),
        Column("higher_is_better", "flag"),
    ),
    key=("question_id", "metric", "weights", "pair_id"),
)
METRIC_AGREEMENT = Table(
    "metric agreement",
    (
        *text("question_id", "metric", "weights"),
        Column("measure", allowed=METRIC_MEASURES),
        *number("estimate", "ci_low", "ci_high"),
        *count("n", "n_prompts", "n_annotators"),  # n: votes; of a rank correlation, models
        *text("method"),
        Column("seed", "integer", required=False, empty=True),
        VOTE_SOURCE,
    ),
    key=("question_id", "metric", "weights", "measure"),
)
JUDGE_BIAS = Table(
    "judge bias",
    (
        *text("metric", "weights", "question_id"),
        *number("first_share", "ci_low", "ci_high"),
        *number("contradictions", "contradictions_low", "contradictions_high"),
        *count("n", "n_pairs", "n_prompts"),
        *text("method"),
        VOTE_SOURCE,
    ),
    key=("metric", "weights", "question_id"),
)
METRIC_BINS = Table(
    "metric bins",
    (
        *text("question_id", "metric", "weights"),
        *count("bin"),  # from 1, by the size of the difference of scores
        *number("difference_low", "difference_high"),
        *number("accuracy", "ci_low", "ci_high"),
        *count("n", "n_prompts", "n_annotators"),
        *text("method"),
        VOTE_SOURCE,
    ),
    key=("question_id", "metric", "weights", "bin"),
)
METRIC_DIFFERENCES = Table(
    "metric differences",
    (
        *text("question_id", empty=True),  # "" where the metric's scores serve every question
        *text("metric", "weights", "model_a", "model_b"),
        *number("mean_difference", "ci_low", "ci_high", "p_value", "p_holm", "p_sign"),
        *count("n", "n_prompts"),
        *text("method"),
        VOTE_SOURCE,
    ),
    key=("question_id", "metric", "weights", "model_a", "model_b"),
)
DISAGREEMENTS = Table(
    "disagreements",
    (
        *text("question_id", "metric", "weights"),
        *count("place"),  # 1 where people and metric differ most
        *text("pair_id", "prompt_id"),
        *count("seed"),
        *text("model_a", "model_b"),
        *number("share_a", "expected_a", empty=False),  # of the votes; as the metric has it
        *count("n"),
        *number("score_a", "score_b", empty=False),
        *text("method"),
        VOTE_SOURCE,
    ),
    key=("question_id", "metric", "weights", "pair_id"),
)
