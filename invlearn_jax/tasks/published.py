"""The best published scores on maze2d and antmaze (D4RL's normalised score, final checkpoint), for comparison."""

from typing import NamedTuple


class Published(NamedTuple):
    """A score, the method that reached it, and where it is printed."""

    score: float
    method: str
    source: str


_VETERAN = ("Diffusion Veteran, joint", "its joint-action variant, read off the bars of Fig. 3")
_SIHD = ("SIHD", "arXiv 2509.21942, second-hand")
_HORIZON_FLOW = ("HorizonFlow", "its Table 1")

# By environment and whether every episode has a goal of its own.
_BEST = {
    ("maze2d-umaze-v1", False): Published(146.3, *_VETERAN),
    ("maze2d-medium-v1", False): Published(156.0, *_VETERAN),
    ("maze2d-large-v1", False): Published(209.1, "AWAC", "CORL, last checkpoint"),
    ("maze2d-umaze-v1", True): Published(158.2, "SSD", "as given by HorizonFlow, Table 1"),
    ("maze2d-medium-v1", True): Published(170.5, *_HORIZON_FLOW),
    ("maze2d-large-v1", True): Published(216.5, *_HORIZON_FLOW),
    ("antmaze-umaze-v2", False): Published(100.0, "GTP", "its project page, arXiv 2510.11499"),
    ("antmaze-umaze-diverse-v2", False): Published(96.5, *_SIHD),
    ("antmaze-medium-play-v2", False): Published(89.5, "ReBRAC", "CORL"),
    ("antmaze-medium-diverse-v2", False): Published(94.7, "Diffusion-QL", "CleanDiffuser, Table 1"),
    ("antmaze-large-play-v2", False): Published(95.3, "RD-HRL", "50 seeds, second-hand"),
    ("antmaze-large-diverse-v2", False): Published(89.4, *_SIHD),
}


def best_published(env: str, multi_goal: bool) -> Published | None:
    """The best published score of a task, or None where none is known."""
    return _BEST.get((env, multi_goal))
