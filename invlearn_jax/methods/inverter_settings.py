"""Settings of Inverse Learning; their defaults suit any task."""

import dataclasses

from invlearn_jax.learn.collect import CorrectionSettings
from invlearn_jax.objectives import ObjectiveWeights
from invlearn_jax.settings import bounded

TAILS = ("none", "graph", "bootstrap")
_ADVANCE = (1, 2, 4, 8)


@dataclasses.dataclass
class DataSettings:
    """Rows to ask the task for, and the share of them held out for the model's error."""

    rows: int = bounded(200_000, low=100)
    held_out: float = bounded(0.02, low=0.0, high=0.5)


@dataclasses.dataclass
class ModelSettings:
    """The forward model and its training.

    Attributes:
        chunk: steps per network call; divides the plan's and the training's horizon. 0 for the greatest such of 4, 2, 1.
        hidden: widths of the MLP.
        octaves: Fourier features of the task's positions.
        cells: points per axis of grids of learned features of the positions, for large worlds; see ``networks.gridded``.
        steps: updates on windows.
        batch: windows per update.
        horizon: steps per window.
        learning_rate: greatest.
        one_step: updates on single chunks before those on windows.
        one_step_batch: of them per update.
        one_step_rate: their greatest learning rate.
        change_floor: above 0, errors are relative to how far a state has changed, which counts as at least this share of the
            usual; for tasks in which a state of rest is to be held. See ``learn.forward_model.model_loss``.
        members: models that start from other weights and learn from other batches; their mean predicts, and how far they part
            is what ``objective.disagreement`` charges.
    """

    chunk: int = bounded(0, low=0)
    hidden: tuple[int, ...] = bounded((256, 256), low=1)
    octaves: int = bounded(6, low=0, high=16)
    cells: tuple[int, ...] = bounded((), low=2)
    steps: int = bounded(4000, low=1)
    batch: int = bounded(256, low=1)
    horizon: int = bounded(16, low=1)
    learning_rate: float = bounded(2e-3, above=0.0)
    one_step: int = bounded(0, low=0)
    one_step_batch: int = bounded(1024, low=1)
    one_step_rate: float = bounded(1e-3, above=0.0)
    change_floor: float = bounded(0.0, low=0.0)
    members: int = bounded(1, low=1)


@dataclasses.dataclass
class TailSettings:
    """The cost beyond the horizon.

    Attributes:
        kind: ``none``; ``graph``: shortest paths over the places that the data came to, distilled; or ``bootstrap``: a value
            learned together with the Inverter, for any cost.
        max_speed: of the graph's places, per second, which turns lengths into times.
        per_axis: whether each axis has that limit of its own (lengths are then the largest over the axes), or speed as a whole.
        look_ahead: seconds; a state counts as where it is about to be.
        hidden: widths of the MLP.
        octaves: its Fourier features.
        coordinates: in which places are embedded, so that times are sums of differences; 0 for one network of both places. An
            embedding has to know places, not pairs of them: for large worlds.
        bin_size: of the places, in their units.
        margin: how far beyond the data's places their times are continued, in the places' units; see ``learn.cost_to_go``.
        min_count: bins and links that the data saw less often are dropped.
        max_steps: bins are joined where the data lead from one to the other within this many steps.
        steps: updates on the graph; a value has those of the Inverter.
        batch: pairs of places per update; of an embedding they are all those between two groups of places.
        learning_rate: greatest.
        time_constant: of a value, seconds; costs so far ahead count 1/e of those at hand.
        first_time_constant: with which a value begins; it grows to ``time_constant`` over the first quarter of the updates. For
            rest that is unstable, as short as a fall takes. 0 for none of its own.
        copy_rate: share of a value's new weights that the slow copy takes at each update.
        slope_weight: of errors of a value's slope, against those of the value itself.
        slope_floor: square of the slope from which errors count relative to it.
    """

    kind: str = "none"
    max_speed: float = bounded(1.0, above=0.0)
    per_axis: bool = False
    look_ahead: float = bounded(0.0, low=0.0)
    hidden: tuple[int, ...] = bounded((256, 256), low=1)
    octaves: int = bounded(5, low=0, high=16)
    coordinates: int = bounded(0, low=0)
    bin_size: float = bounded(0.1, above=0.0)
    margin: float = bounded(0.0, low=0.0)
    min_count: int = bounded(3, low=1)
    max_steps: int = bounded(4, low=1)
    steps: int = bounded(3000, low=1)
    batch: int = bounded(2048, low=1)
    learning_rate: float = bounded(3e-3, above=0.0)
    time_constant: float = bounded(10.0, above=0.0)
    first_time_constant: float = bounded(0.0, low=0.0)
    copy_rate: float = bounded(0.02, above=0.0, high=1.0)
    slope_weight: float = bounded(1.0, low=0.0)
    slope_floor: float = bounded(0.1, above=0.0)


@dataclasses.dataclass
class NetSettings:
    """The Inverter's network: widths, features of positions as in ``ModelSettings``, spline coefficients per action (0: none)."""

    hidden: tuple[int, ...] = bounded((256, 256, 256), low=1)
    octaves: int = bounded(5, low=0, high=16)
    cells: tuple[int, ...] = bounded((), low=2)
    knots: int = bounded(0, low=0)


@dataclasses.dataclass
class TrainingSettings:
    """Training of the Inverter on imagined problems that move along its own plans; see ``learn.inverter``.

    ``advance`` may be empty: the problems then advance by 1, 2, 4 or 8 steps, as far as the horizon reaches.
    """

    steps: int = bounded(3000, low=1)
    batch: int = bounded(192, low=1)
    learning_rate: float = bounded(1e-3, above=0.0)
    advance: tuple[int, ...] = bounded((), low=1)
    reset_share: float = bounded(0.15, low=0.0, high=1.0)
    goal_share: float = bounded(0.12, low=0.0, high=1.0)
    state_noise: float = bounded(0.01, low=0.0)
    logit_limit: float = bounded(3.0, above=0.0)
    logit_weight: float = bounded(1e-3, low=0.0)

    def advance_within(self, horizon: int) -> tuple[int, ...]:
        """``advance``, or where it is empty its default as far as the horizon reaches."""
        return self.advance or tuple(step for step in _ADVANCE if step <= horizon)


@dataclasses.dataclass
class CloningSettings:
    """Behaviour cloning of the data's first part: before training through the model, and as a term that is kept in it.

    Attributes:
        steps: updates before; 0 for none.
        batch: rows per update.
        learning_rate: greatest.
        within: how many rows later a hindsight goal may lie.
        weight: of the term that is kept.
    """

    steps: int = bounded(0, low=0)
    batch: int = bounded(512, low=1)
    learning_rate: float = bounded(1e-3, above=0.0)
    within: int = bounded(24, low=1)
    weight: float = bounded(0.0, low=0.0)


@dataclasses.dataclass
class WatchSettings:
    """A second model that notices plans which exploit the first one's errors; see ``planners.watched``.

    It has other initial weights, and learns from the data and from what the finished planner does.

    Attributes:
        steps: its updates (those on single chunks too, where the model has any); 0 for no second model.
        robots: that execute the finished planner, every second one whole plans.
        executed: steps of each.
        false_alarms: greatest share of windows of held-out data that it may flag.
    """

    steps: int = bounded(0, low=0)
    robots: int = bounded(256, low=2)
    executed: int = bounded(200, low=2)
    false_alarms: float = bounded(0.05, low=0.01, below=1.0)


@dataclasses.dataclass
class Settings:
    """Inverse Learning.

    Attributes:
        data: see ``DataSettings``.
        model: see ``ModelSettings``.
        tail: see ``TailSettings``.
        net: see ``NetSettings``.
        objective: weights beside the task's own costs.
        among: how near to the data counts as among them: for places of up to three dimensions in their units, else in units of
            the usual distance between rows.
        normalise: whether costs are divided by their mean over the data's windows in training, and the distance from the data
            is charged in that unit; for tasks whose costs have no natural scale.
        cloning: see ``CloningSettings``.
        inverter: see ``TrainingSettings``.
        correction: see ``CorrectionSettings``.
        watch: see ``WatchSettings``.
        refine_rate: learning rate of gradient refinement.
        block: updates per compiled call and row of the log.
        checkpoint_every: updates between checkpoints, a multiple of ``block``.
    """

    data: DataSettings = dataclasses.field(default_factory=DataSettings)
    model: ModelSettings = dataclasses.field(default_factory=ModelSettings)
    tail: TailSettings = dataclasses.field(default_factory=TailSettings)
    net: NetSettings = dataclasses.field(default_factory=NetSettings)
    objective: ObjectiveWeights = dataclasses.field(default_factory=ObjectiveWeights)
    among: float = bounded(1.5, low=0.0)
    normalise: bool = True
    cloning: CloningSettings = dataclasses.field(default_factory=CloningSettings)
    inverter: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    correction: CorrectionSettings = dataclasses.field(default_factory=CorrectionSettings)
    watch: WatchSettings = dataclasses.field(default_factory=WatchSettings)
    refine_rate: float = bounded(0.02, above=0.0)
    block: int = bounded(250, low=1)
    checkpoint_every: int = bounded(1000, low=1, multiple_of="block")
