"""Training the upper level of a stack through the lower one."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from experiments.configs.maze2d_stack import Config
from experiments.pipelines.stages import PlannerOf, inverter_training, run_stage
from invlearn_jax.io.planners import load_config, load_planner, save_planner
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.keys import from_seed, stream
from invlearn_jax.learn.inverter import check_advance, inverter_state, inverter_update, problem_sampler
from invlearn_jax.learn.loop import default_optimizer
from invlearn_jax.planners import InverterParams, LevelParams, MlpInverter, PlannerParams
from invlearn_jax.tasks.maze2d.planner import MazePlannerConfig
from invlearn_jax.tasks.maze2d.stack import MazeStackConfig, build_stack
from invlearn_jax.types import Problem

_PITCH = 0.1  # metres between the places that training starts from and goes to


def describe(config: Config) -> MazeStackConfig:
    """The stack that a configuration asks for.

    Raises:
        ValueError: for an unknown or broken motor planner, or one that is a stack itself.
    """
    settings = config.stack
    motor, folder = load_config(settings.motor)
    if not isinstance(motor, MazePlannerConfig):
        raise ValueError(f"stack.motor is {folder}, a stack itself; give a planner of one level.")
    return MazeStackConfig(
        motor,
        settings.subgoals,
        settings.reach,
        tuple(settings.hidden),
        settings.octaves,
        settings.execute_steps,
        settings.refine_rate,
    )


def check(config: Config) -> None:
    """Builds everything once without training it, so that a bad setting costs no time.

    Raises:
        ValueError: for a motor planner that cannot be used, or settings that do not fit together.
    """
    build_stack(describe(config))
    check_advance(config.inverter.advance, config.stack.subgoals)


def covered_places(inverter: MlpInverter, params: InverterParams, pitch: float = _PITCH) -> Float[Array, "M P"]:
    """The places of a grid over an Inverter's box where its training data were, as its ``covers`` has them.

    Args:
        inverter: a trained one.
        params: its parameters.
        pitch: of the grid, metres.

    Returns:
        ``[M, P]`` metres.

    Raises:
        ValueError: if there is none.
    """
    axes = [jnp.arange(c - h, c + h, pitch) for c, h in zip(params.centre, params.half, strict=True)]
    places = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    at_rest = jnp.pad(places, ((0, 0), (0, inverter.state_size - len(axes))))
    covered = jax.vmap(inverter.covers, in_axes=(None, 0))(params, Problem(at_rest, places))
    if not covered.any():
        raise ValueError(f"The motor planner's data cover no place on a grid of {pitch} m. Train it on more data.")
    return places[covered]


def train_stack(config: Config, run: RunFolder, seed: int) -> tuple[str, PlannerOf]:
    """Trains the sub-goal Inverter; starts and goals are spread evenly over where the motor planner's data were.

    Returns:
        The environment's name, and the stack for a number of refinement steps; it is also saved under ``planner/``.
    """
    training, description = config.inverter, describe(config)
    motor, motor_params = load_planner(config.stack.motor)
    lower, objective = LevelParams(motor_params.inverter, motor_params.model), motor_params.objective
    upper = build_stack(description).upper
    init_key, train_key = jax.random.split(stream(from_seed(seed), "stack inverter"))
    # The box, the scales and the places of the motor's data are the stack's own.
    first = lower.inverter._replace(net=upper.inverter.init(init_key).net)
    draw = problem_sampler(covered_places(motor.inverter, lower.inverter), first.scale)
    optimizer = default_optimizer(training.learning_rate, training.steps)
    update = inverter_update(
        upper.inverter,
        upper.model,
        upper.objective,
        lower,
        objective,
        optimizer,
        draw,
        inverter_training(training),
        lower.model.std,
    )
    state = inverter_state(optimizer, first, train_key, draw, training.batch)
    state = run_stage(
        run, "inverter", update, state, training.steps, config.block, config.checkpoint_every, headline="cost"
    )
    params = PlannerParams(state.params, lower, objective)
    save_planner(run.path / "planner", description, params)
    return description.env, lambda refine_steps: (build_stack(description, refine_steps), params)
