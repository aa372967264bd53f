"""A goal-reaching policy from nothing but random exploration, as a method of the task ``ant-walk``.

    random exploration -> planner -> what it executes -> planner -> .. -> policy:    minimise E |pi(s, g) - plan(s, g)[0]|^2

Each generation is a planner of the method ``inverter`` that learns from what the one before executed in its rounds of
correction. The policy is a clone of the last one's first actions. It regenerates D4RL's data: ``goal_policy.read_goal_policy``
reads ``policy.npz`` in the run's folder.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.data.dataset import Dataset, concatenate
from invlearn_jax.inputs import as_problem, float_type
from invlearn_jax.inverters.network import with_copies
from invlearn_jax.keys import indexed, streams
from invlearn_jax.learn.collect import CorrectionSettings
from invlearn_jax.learn.loop import default_optimizer
from invlearn_jax.learn.stages import Run
from invlearn_jax.methods import inverter
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.settings import bounded
from invlearn_jax.tasks.antmaze.cloning import Teacher, goal_policy_state, goal_policy_update
from invlearn_jax.tasks.antmaze.goal_policy import GoalPolicy, fresh_policy, write_goal_policy
from invlearn_jax.tasks.antmaze.model import ACTION_SIZE, STATE_SIZE
from invlearn_jax.tasks.antmaze.walk import RANDOM, AntWalk, direction
from invlearn_jax.tasks.task import Part
from invlearn_jax.types import Key, Problem

_FAR = 10.0  # m, where the goals of such policies are
_SPREAD = 0.3  # standard deviation of the second and further candidates around the policy's action


def _first() -> inverter.Settings:
    settings = AntWalk().configure("inverter", inverter.Settings())
    settings.data.rows = 300_000
    settings.model.one_step, settings.model.steps, settings.inverter.steps = 5000, 2000, 2000
    settings.cloning.steps, settings.cloning.weight = 0, 0.0
    # A plan that is replaced in every step can put off walking for ever: what it predicts has to be executed.
    return _corrected(settings, follow=16)


def _later() -> inverter.Settings:
    return _corrected(AntWalk().configure("inverter", inverter.Settings()), follow=8)


def _corrected(settings: inverter.Settings, follow: int) -> inverter.Settings:
    correction: CorrectionSettings = settings.correction
    correction.rounds, correction.follow, correction.starts = 3, follow, 0.5
    return settings


@dataclasses.dataclass
class Settings:
    """A policy from nothing; the task's own ``data`` settings have no part in it.

    Attributes:
        first: the first generation, whose data are random exploration; as of the method ``inverter``.
        later: those after it, which also clone what the one before executed.
        generations: how many come after the first.
        hidden: widths of the policy.
        steps: updates of the policy.
        batch: states per update.
        learning_rate: greatest.
        block: updates of the policy per compiled call and row of the log.
        checkpoint_every: updates between checkpoints, a multiple of ``block``.
    """

    first: inverter.Settings = dataclasses.field(default_factory=_first)
    later: inverter.Settings = dataclasses.field(default_factory=_later)
    generations: int = bounded(2, low=0)
    hidden: tuple[int, ...] = bounded((256, 256), low=1)
    steps: int = bounded(10_000, low=0)
    batch: int = bounded(512, low=1)
    learning_rate: float = bounded(1e-3, above=0)
    block: int = bounded(250, low=1)
    checkpoint_every: int = bounded(1000, low=1, multiple_of="block")


class GoalPolicyInverter:
    """A goal-reaching policy as an Inverter of plans of one step."""

    horizon, state_size, action_size, goal_size = 1, STATE_SIZE, ACTION_SIZE, 2

    def __init__(self, hidden: tuple[int, ...]) -> None:
        """For a policy of these widths."""
        self._hidden = hidden

    def init(self, key: Key) -> GoalPolicy:
        """A fresh policy. The key is consumed."""
        return fresh_policy(key, self._hidden)

    def propose(self, params: GoalPolicy, key: Key, problem: Problem, num: int) -> Float[Array, "K 1 A"]:
        """The policy's mean action, and ``num - 1`` noisy copies. The key is consumed."""
        problem = as_problem(problem, float_type(params))
        return with_copies(key, params.act(None, problem.state, problem.goal)[None], num, _SPREAD)


class _Generation(AntWalk):
    """The task with what an earlier generation executed as its data; random exploration where there was none."""

    def __init__(self, task: AntWalk, executed: Dataset | None) -> None:
        super().__init__()
        data = dataclasses.replace(task.settings.data, path="", policy=RANDOM, broad_rows=0)
        self.settings, self._executed = dataclasses.replace(task.settings, data=data), executed

    def data(self, rows: int, key: Key) -> Mapping[str, Part]:
        """See ``AntWalk``. The key is consumed."""
        return super().data(rows, key) if self._executed is None else {"executed before": Part(self._executed)}


def build(
    task: AntWalk,
    settings: Settings,
    refine_steps: int = 0,
    candidates: int | None = None,
    refiner: str = "adam",
    execute_steps: int | None = None,
) -> InversePlanner:
    """The policy as a planner of one step, scored by the last generation's model. See ``methods.inverter.unwatched``.

    Raises:
        ValueError: for settings that do not fit together, or without a round of correction.
    """
    for name, own in (("first", settings.first), ("later", settings.later)):
        if own.correction.rounds < 1:
            raise ValueError(
                f"{name}.correction.rounds is {own.correction.rounds}; give 1 or more, since each generation learns from what "
                "the one before executed."
            )
        if own.model.chunk != 1 or own.watch.steps:
            raise ValueError(
                f"{name}.model.chunk is {own.model.chunk} and {name}.watch.steps {own.watch.steps}; a policy's plan has one step "
                "and no second model, give 1 and 0."
            )
        inverter.unwatched(task, own)
    motor = inverter.unwatched(task, _last(settings), refine_steps, candidates, refiner)
    return InversePlanner(
        GoalPolicyInverter(settings.hidden),
        motor.model,
        motor.objective,
        motor.refiner,
        motor.refine_steps,
        motor.candidates,
        execute_steps,
    )


def _last(settings: Settings) -> inverter.Settings:
    return settings.later if settings.generations else settings.first


def fit(task: AntWalk, settings: Settings, run: Run, key: Key) -> tuple[InversePlanner, PlannerParams]:
    """Learns the generations, each in a folder of its own, then the policy. The key is consumed. See ``methods.inverter.fit``."""
    generations_key, weights_key, training_key = streams(key, "generations", "weights", "training")
    executed: Dataset | None = None
    for number in range(settings.generations + 1):
        own, folder = settings.later if number else settings.first, run.within(f"generation_{number}")
        motor, params = inverter.fit(_Generation(task, executed), own, folder, indexed(generations_key, number))
        executed = concatenate(*(folder.rows(f"executed_{n}", _gone) for n in range(1, own.correction.rounds + 1)))
    assert isinstance(motor, InversePlanner) and isinstance(params, PlannerParams) and executed is not None
    optimizer = default_optimizer(settings.learning_rate, settings.steps)
    state = goal_policy_state(optimizer, fresh_policy(weights_key, settings.hidden), training_key)
    update = goal_policy_update(_teacher(motor, params, jnp.asarray(executed.states)), optimizer, settings.batch)
    policy = run.train(
        "policy", update, state, settings.steps, settings.block, settings.checkpoint_every, "policy_loss"
    ).params
    write_goal_policy(run.path / "policy.npz", policy)
    return build(task, settings), PlannerParams(policy, params.model, params.objective)


def _teacher(motor: InversePlanner, params: PlannerParams, states: Array) -> Teacher:
    """What the last generation does in states ``[M, S]`` that it came to, towards goals in any direction."""

    def draw(key: Key) -> tuple[Problem, Array]:
        row_key, angle_key, plan_key = streams(key, "row", "angle", "plan")
        state = states[jax.random.randint(row_key, (), 0, states.shape[0])]
        problem = Problem(state, state[:2] + _FAR * direction(angle_key))
        return problem, motor.inverter.propose(params.inverter, plan_key, problem, 1)[0, 0]

    return draw


def _gone() -> Dataset:
    raise FileNotFoundError("What a generation executed is missing from its folder. Delete the folder, and run again.")
