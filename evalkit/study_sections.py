"""The sections of a study.toml: what each may say, its defaults and its checks."""

import re
import string
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from evalkit.errors import listed

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://.")
CONSENT = (
    "You will compare pairs of computer-made images. We store your choices, how long they took and "
    "the size of your window, under a random id and not under your name. You may stop at any time, "
    "and have your answers deleted."
)
INSTRUCTIONS = (
    "You see two images side by side and one question. Look at both, then choose with the keys or "
    "the buttons. There is no right answer: we want your own judgement."
)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("nothing could be read there; write what annotators are to read")
    return text


Words = Annotated[str, AfterValidator(_not_blank)]


class Section(BaseModel):
    """Frozen; a key that is not known is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PromptSource(Section):
    """Where the prompts come from, which of its rows count, and how many are drawn how.

    `column` and its like name columns of the source that are called otherwise than ours; `config`,
    `split` and `revision` are of a data set on the hub. `over_long` is about prompts that no text
    encoder of some model reads whole.
    """

    source: str
    column: str | None = None
    id_column: str | None = None
    category_column: str | None = None
    challenge_column: str | None = None
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    blanks: Literal["refuse", "drop"] = "refuse"
    duplicates: Literal["refuse", "drop"] = "refuse"
    over_long: Literal["keep", "refuse", "drop"] = "keep"
    n: int | None = Field(default=None, ge=1)
    draw: Literal["first", "random", "stratified"] = "first"
    stratify: Literal["category", "challenge", "both"] = "category"

    @field_validator("stratify")
    @classmethod
    def _of_a_stratified_draw(cls, stratify: str, info: ValidationInfo) -> str:
        if info.data.get("draw") in ("first", "random"):
            raise ValueError(f'draw = "{info.data["draw"]}" has no strata; write "stratified"')
        return stratify


class ImageSettings(Section):
    """Image seeds, shared by all models, and the side (px) of the square each image is shown in.

    `address` is where the images lie, such as `s3://bucket/folder`; without it, the study folder.
    It does not count in the study's hash: images that are moved are the same images.
    """

    # Larger seeds are not exact as the floating-point numbers that programs read from a table.
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**53)], ...] = Field(min_length=1)
    viewing_size: int = Field(default=512, ge=64, le=2048)
    address: str | None = None

    @field_validator("address")
    @classmethod
    def _names_a_store(cls, address: str | None) -> str | None:
        if address is not None and not _ADDRESS.match(address):
            raise ValueError(
                "allowed are addresses such as s3://bucket/folder; without one the images lie in "
                "the study folder"
            )
        return address

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands twice")
        return seeds


class Question(Section):
    """One question asked of each pair; `show_prompt` shows the prompt above the images."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")
    text: Words
    show_prompt: bool
    tie: bool = True
    both_bad: bool = False

    @property
    def choices(self) -> tuple[str, ...]:
        """The choices an annotator has on this question."""
        extra = [("tie", self.tie), ("both_bad", self.both_bad)]
        return ("left", "right", *(name for name, offered in extra if offered))


class Design(Section):
    """Which pairs are shown, how often, in what order, and how many trials are checks or repeats.

    `attention_share` and `repeat_share` are shares of an annotator's trials. `policy` says which
    pair comes next: `uniform`, those with the fewest votes; `adaptive`, with a chance that grows
    with the doubt about which of its two models is better, mixed with `uniform_share` of uniform.
    `block_length` trials stand between two pauses (None: all trials of a question are one block).
    Each question begins with `practice_trials`, with feedback, which never count. An open trial
    keeps its pair from others for `lease_minutes` after the annotator was last heard of.
    """

    pairs: Literal["all"] | tuple[tuple[str, str], ...] = "all"
    votes_per_pair: int = Field(default=4, ge=1, le=1000)
    trials_per_annotator: int = Field(default=100, ge=1, le=10_000)
    attention_share: float = Field(default=0.05, ge=0, le=0.5)
    repeat_share: float = Field(default=0.05, ge=0, le=0.5)
    min_viewing_ms: int = Field(default=500, ge=0, le=60_000)
    policy: Literal["uniform", "adaptive"] = "uniform"
    uniform_share: float = Field(default=0.3, ge=0.2, le=1)
    block_length: int | None = Field(default=None, ge=5, le=1000)
    practice_trials: int = Field(default=2, ge=0, le=20)
    lease_minutes: int = Field(default=30, ge=1, le=1440)

    @field_validator("pairs", mode="wrap")
    @classmethod
    def _pairs(cls, value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        try:
            return validate(value)
        except ValidationError:
            raise ValueError(
                'allowed are "all" or a list of lists of two model names, [["one", "other"]]'
            ) from None

    def attention_trials(self, n: int) -> int:
        """How many of `n` trials are attention checks; a half is rounded up."""
        return int(self.attention_share * n + 0.5)

    def repeat_trials(self, n: int) -> int:
        """How many of `n` trials are repeats; a half is rounded up."""
        return int(self.repeat_share * n + 0.5)


KEY_NAMES = ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Backspace", "Space")


class Keys(Section):
    """The key of each action on the trial screen: one printable character, or one of KEY_NAMES.

    Letters count in both cases. Enter, Escape and Tab belong to the browser and to the page.
    """

    left: str = "ArrowLeft"
    right: str = "ArrowRight"
    tie: str = "ArrowDown"
    both_bad: str = "b"
    undo: str = "Backspace"
    zoom: str = "z"
    flip: str = "f"
    reason: str = "r"

    @field_validator("*")
    @classmethod
    def _is_a_key(cls, key: str) -> str:
        printable = len(key) == 1 and key in string.ascii_letters + string.digits + ",.-;/"
        if not printable and key not in KEY_NAMES:
            raise ValueError(
                f"allowed is a letter, a digit, one of , . - ; / or one of {listed(KEY_NAMES)}"
            )
        return key.lower() if printable else key

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        keys = list(dict(self).values())
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f'the key "{key}" stands twice; give each action its own')
        return self


class SessionSettings(Section):
    """What an annotator reads, in which language, by which keys they choose, when they rest.

    `texts` names a TOML file beside study.toml whose texts stand in place of the shipped ones of
    that language. A break is offered every `break_minutes` (0: never). With `reasons`, a reason
    may be written beside each choice.
    """

    consent: Words = CONSENT
    instructions: Words = INSTRUCTIONS
    language: str = "en"
    texts: str | None = None
    keys: Keys = Keys()
    break_minutes: int = Field(default=10, ge=0, le=240)
    reasons: bool = False


class Exclusions(Section):
    """Whose votes do not count: all of an annotator's, once one of the limits given here is passed.

    `attention_below` and `repeat_consistency_below` are shares of the attention checks passed and
    of the repeats answered alike; `median_ms_below` is of the median response time;
    `same_side_above` of the share of left, or of right, among main votes for a side;
    `longest_run_above` of the votes in a row for one choice; `blocked` is about those whom the
    coordinator has blocked. A share counts from `min_checks` checks, `min_repeats` repeats or
    `min_votes` votes on; who has fewer is not judged by it. Left out: no such rule.
    """

    attention_below: float | None = Field(default=None, gt=0, le=1)
    median_ms_below: int | None = Field(default=None, ge=1, le=600_000)
    same_side_above: float | None = Field(default=None, ge=0.6, lt=1)
    longest_run_above: int | None = Field(default=None, ge=5, le=10_000)
    repeat_consistency_below: float | None = Field(default=None, gt=0, le=1)
    blocked: bool = False
    min_checks: int = Field(default=4, ge=1, le=1000)
    min_repeats: int = Field(default=4, ge=1, le=1000)
    min_votes: int = Field(default=20, ge=1, le=10_000)


class Stopping(Section):
    """When results may be seen: `planned`, once every planned vote is there; `anytime`, always.

    With `anytime` each pair has an interval and a decision that hold at every look.
    """

    rule: Literal["planned", "anytime"] = "planned"


class Entry(Section):
    """Who may begin besides those with a personal link; it does not count in the study's hash.

    `prolific` lets in whoever comes with PROLIFIC_PID, STUDY_ID and SESSION_ID in the address,
    `open` whoever has the study's open link; at most `limit` people, where a place left unfinished
    for `reclaim_minutes` goes to somebody else. `completion_code` and `return_url` are shown at
    the end; Prolific pays by one of them. With `study_id` only that STUDY_ID is let in.
    """

    kind: Literal["personal", "prolific", "open"] = "personal"
    limit: int | None = Field(default=None, ge=1, le=100_000)
    reclaim_minutes: int = Field(default=60, ge=5, le=10_080)
    completion_code: str | None = Field(default=None, min_length=1, max_length=200)
    return_url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    study_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.kind != "personal" and self.limit is None:
            raise ValueError(f'kind = "{self.kind}" needs a limit; write limit = 50 or the like')
        if self.kind == "prolific" and self.completion_code is None and self.return_url is None:
            raise ValueError(
                'kind = "prolific" needs completion_code or return_url, without which nobody is '
                "paid; copy either from the study's page at Prolific"
            )
        if self.kind != "prolific" and self.study_id is not None:
            raise ValueError('study_id is Prolific\'s; leave it out, or write kind = "prolific"')
        return self


class Previous(Section):
    """The study that this one is a new version of, and the hash of its lock ("": it had none)."""

    name: str
    lock: str = Field(pattern=r"^([0-9a-f]{12})?$")
