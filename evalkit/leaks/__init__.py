"""The leak check: can anybody tell, from anything but the pictures, which model made an image?"""

from evalkit.leaks.check import check_study, refuse_leaks
from evalkit.leaks.finding import Finding

__all__ = ["Finding", "check_study", "refuse_leaks"]
