"""Settings of imitation for the classic worlds: small networks, and demonstrations alone."""

from pathlib import Path
from typing import Any

DEMONSTRATIONS = Path(__file__).parent / "demonstrations"  # that come with the tasks

_EXPERT_STEPS = 60_000


def imitation_settings(method: str, settings: Any, every: int, temperature: float, expert_temperature: float) -> Any:
    """The settings of a method, changed where it is ``iq-learn`` or ``sac``.

    Published for IQ-Learn: networks of 64-64, batches of 32, Adam at 1e-4 (arXiv 2106.12142).

    Args:
        method: its name.
        settings: its defaults.
        every: the expert's steps are sub-sampled by so much.
        temperature: of IQ-Learn's soft value.
        expert_temperature: of the value that learns the task's own reward.
    """
    if method not in ("iq-learn", "sac"):
        return settings
    settings.critics, settings.scale_features = 1, True
    settings.hidden, settings.block, settings.checkpoint_every, settings.evaluate_every = (64, 64), 1000, 5000, 5000
    settings.model.hidden, settings.model.steps = (64, 64), 1000
    if method == "sac":
        settings.learner.batch, settings.learner.slowness, settings.learner.explore = 64, 0.01, 1000
        settings.critic_rate, settings.temperature, settings.scale_features = 1e-3, expert_temperature, False
        settings.steps = settings.capacity = _EXPERT_STEPS
        return settings
    settings.online, settings.demonstrations.every = False, every
    settings.learner.iq.value_rows = settings.learner.iq.penalty_rows = "expert"
    settings.learner.batch, settings.learner.slowness = 32, 0.0
    settings.critic_rate, settings.temperature, settings.steps = 1e-4, temperature, 30_000
    return settings
