"""Hypothesis profiles: how many examples, and whether they are the same every time.

Needs hypothesis (extra ``test``).
"""

from typing import Any

from hypothesis import settings

from ttref.checks import check_choice

PROFILES: dict[str, dict[str, Any]] = {
    "dev": {"max_examples": 50},
    "ci": {"max_examples": 100, "derandomize": True},
    "nightly": {"max_examples": 2000},
}


def load(name: str) -> None:
    """Register the profiles as ``ttref-dev`` and so on, and make one the default.

    Raises
    ------
    ConventionError
        If there is no profile of that name.
    """
    check_choice("profile", name, PROFILES)
    for profile, options in PROFILES.items():
        settings.register_profile(f"ttref-{profile}", deadline=None, **options)
    settings.load_profile(f"ttref-{name}")
