"""Study -> images: plan what is missing, render it, write it down."""

from evalkit.generation.plan import describe_plan, plan_as_json, plan_images
from evalkit.generation.run import generate

__all__ = ["describe_plan", "generate", "plan_as_json", "plan_images"]
