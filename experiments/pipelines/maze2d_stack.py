"""Training the upper level of a stack through the lower one."""

import jax
import jax.numpy as jnp
import optax

from experiments.configs.maze2d_stack import Config
from experiments.pipelines.stages import PlannerOf, run_stage
from invlearn_jax.envs import registry
from invlearn_jax.envs.maze2d import inside_maze
from invlearn_jax.io.planners import load_config, load_planner
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.learn.inverter import InverterTraining, inverter_state, inverter_update, problem_sampler
from invlearn_jax.learn.loop import default_optimizer
from invlearn_jax.planners import InversePlanner, LevelModel, LevelParams, MlpInverter, PlannerParams, Stack
from invlearn_jax.planners.maze import ACTION_SIZE, DT, POSITION_SIZE, STATE_SIZE, MazeObjective
from invlearn_jax.refine import gradient


def train_stack(config: Config, run: RunFolder, seed: int) -> tuple[str, PlannerOf]:
    """Trains the sub-goal Inverter; starts and goals are the places where the motor planner's data were.

    Returns:
        The environment's name, and the stack for a number of refinement steps.
    """
    settings, training = config.stack, config.inverter
    motor_config, _ = load_config(settings.motor)
    motor, motor_params = load_planner(settings.motor)
    model = LevelModel(motor.inverter, motor.model, POSITION_SIZE, settings.reach)
    params = LevelParams(motor_params.inverter, motor_params.model)
    inverter = MlpInverter(STATE_SIZE, ACTION_SIZE, settings.subgoals, POSITION_SIZE, settings.hidden, settings.octaves)
    objective = MazeObjective(motor_config, dt=DT * motor.horizon, stride=1)
    init_key, train_key = jax.random.split(jax.random.key(seed))
    scales = motor_params.inverter
    first = inverter.init(init_key)._replace(centre=scales.centre, half=scales.half, scale=scales.scale)
    # The box of the motor's data, thinned to where the ball can be.
    axes = [jnp.arange(c - h, c + h, 0.1) for c, h in zip(scales.centre, scales.half, strict=True)]
    grid = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, POSITION_SIZE)
    free = grid[inside_maze(registry.spec(motor_config.env).layout, grid)]
    draw = problem_sampler(free, scales.scale)
    optimizer = default_optimizer(training.learning_rate, training.steps)
    imagined = InverterTraining(training.batch, tuple(training.advance), training.reset_share, training.goal_share)
    update = inverter_update(
        inverter, model, objective, params, motor_params.objective, optimizer, draw, imagined, motor_params.model.std
    )
    state = inverter_state(optimizer, first, train_key, draw, training.batch)
    state = run_stage(
        run, "inverter", update, state, training.steps, config.block, config.checkpoint_every, headline="cost"
    )
    trained = PlannerParams(state.params, params, motor_params.objective)

    def planner_of(refine_steps: int) -> tuple[Stack, PlannerParams]:
        upper = InversePlanner(inverter, model, objective, gradient(optax.adam(0.1)), refine_steps)
        return Stack(upper, settings.execute_steps), trained

    return motor_config.env, planner_of
