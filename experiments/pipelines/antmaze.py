"""antmaze from data and a motor level to the two-level planner: cost-to-go, upper model, sub-goal Inverter."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from experiments.configs.antmaze import Config
from experiments.configs.shared import EvaluationConfig
from experiments.pipelines.ant_motor import FLAIL, check_data, first_actions, walking_data
from experiments.pipelines.antmaze_evaluation import evaluate_ant, summary
from experiments.pipelines.stages import PlannerOf, distil_graph, inverter_training, kept_data, run_stage
from invlearn_jax.data import Dataset, concatenate, fit_normalizer, window_store
from invlearn_jax.io.planners import load_config, load_planner, save_planner
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.keys import from_seed, generator, streams
from invlearn_jax.learn.forward_model import Source, forward_model_state, forward_model_update
from invlearn_jax.learn.inverter import DrawProblem, check_advance, inverter_state, inverter_update
from invlearn_jax.learn.loop import default_optimizer
from invlearn_jax.models.cost_to_go import CostToGoParams, PositionGraph, position_graph
from invlearn_jax.models.coverage import distance_to_data
from invlearn_jax.models.sequence import SequenceParams
from invlearn_jax.planners.planner import PlannerParams
from invlearn_jax.planners.subgoals import SubgoalParams
from invlearn_jax.tasks.antmaze import specs as antmaze_specs
from invlearn_jax.tasks.antmaze.level_rows import evenly, level_rows
from invlearn_jax.tasks.antmaze.motor import POSITION_SIZE, AntMotorConfig
from invlearn_jax.tasks.antmaze.rows import upright_rows, uprightness
from invlearn_jax.tasks.antmaze.simulator import MujocoAntmaze
from invlearn_jax.tasks.antmaze.stack import (
    AntStackConfig,
    SubgoalObjective,
    build_ant_stack,
    build_level_cost_to_go,
    build_level_model,
    build_subgoal_inverter,
)
from invlearn_jax.types import Key, Problem

_STANDING = 0.7  # uprightness of the states that the motor level is tried from


def describe(config: Config) -> AntStackConfig:
    """The planner that a configuration asks for, over the motor level it names.

    Raises:
        ValueError: for an unknown or broken motor level, or a planner that is none.
    """
    motor, folder = load_config(config.motor)
    if not isinstance(motor, AntMotorConfig):
        raise ValueError(f"motor is {folder}, no motor level of an ant; train one by --experiment=ant-motor.")
    return dataclasses.replace(config.planner, motor=motor)


def check(config: Config) -> None:
    """Builds everything once without training it, so that a bad setting costs no time.

    Raises:
        ValueError: for an unknown environment or motor level, or settings that do not fit together.
    """
    antmaze_specs.spec(config.planner.env)
    check_data(config.data)
    if config.data.policy == FLAIL and not config.data.path:
        raise ValueError(
            f"data.policy is {FLAIL!r}, an ant that flails on an open floor; a maze's ways are learned from ants that walk them. "
            "Give a goal-reaching policy."
        )
    if config.planner.motor != AntMotorConfig():
        raise ValueError(
            "The motor level is the one of --config.motor; settings of config.planner.motor would have no effect."
        )
    build_ant_stack(describe(config))
    check_advance(config.inverter.advance, config.planner.subgoals)


def train_cost_to_go(config: Config, run: RunFolder, main: Dataset, key: Key) -> tuple[CostToGoParams, PositionGraph]:
    """Builds the graph of the data's positions and distils it."""
    settings, model = config.cost_to_go, build_level_cost_to_go(config.planner)
    graph = position_graph(
        main.states[:, :POSITION_SIZE],
        main.ends,
        config.planner.speed,
        settings.bin_size,
        settings.max_steps,
        settings.min_count,
        norm=2.0,
    )
    return distil_graph(run, model, graph, settings, config.block, config.checkpoint_every, key), graph


def achieved(config: Config, run: RunFolder, main: Dataset, key: Key) -> Dataset:
    """What the motor level does towards random sub-goals from the data's states, kept in the run's folder."""
    settings = config.level

    def walk() -> Dataset:
        act = first_actions(*load_planner(config.motor))
        rng = generator(key)
        standing = main.states[uprightness(main.states) > _STANDING]
        bin_size = config.cost_to_go.bin_size
        simulator = MujocoAntmaze(antmaze_specs.spec(config.planner.env))
        parts = [
            level_rows(
                act,
                simulator.step,
                standing[evenly(standing[:, :POSITION_SIZE], bin_size, settings.ants, rng)],
                int(rng.integers(2**31)),
                settings.rounds,
                config.planner.hold,
                config.planner.reach,
            )
            for _ in range(settings.episodes)
        ]
        simulator.close()
        return concatenate(*parts)

    return kept_data(run.path / "data" / "level.npz", walk)


def train_level_model(config: Config, run: RunFolder, rows: Dataset, key: Key) -> SequenceParams:
    """Trains the upper level's forward model."""
    settings, model = config.level, build_level_model(config.planner)
    optimizer = default_optimizer(settings.learning_rate, settings.steps)
    state = forward_model_state(model, optimizer, key, rows, fit_normalizer(rows))
    update = forward_model_update(model, optimizer, [Source(window_store(rows, 1), 1.0)], settings.batch, 1)
    return run_stage(
        run, "level_model", update, state, settings.steps, config.block, config.checkpoint_every, headline="model_loss"
    ).params


def places_sampler(places: jax.Array, noise: float) -> DrawProblem:
    """Draws start and goal among ``places [M, P]`` with noise (m, standard deviation)."""

    def draw(key: Key) -> Problem:
        place_key, noise_key = jax.random.split(key)
        ends = places[jax.random.randint(place_key, (2,), 0, places.shape[0])]
        return Problem(*(ends + noise * jax.random.normal(noise_key, ends.shape)))

    return draw


def train_subgoals(
    config: Config,
    run: RunFolder,
    model_params: SequenceParams,
    cost_params: CostToGoParams,
    graph: PositionGraph,
    key: Key,
) -> PlannerParams:
    """Trains the sub-goal Inverter through the upper model, between places of the graph."""
    settings, planner = config.inverter, config.planner
    inverter, init_key, train_key = build_subgoal_inverter(planner), *jax.random.split(key)
    centre, half = cost_params.centre, cost_params.half
    visited = distance_to_data(graph.nodes, centre, half) <= 1.5 * config.cost_to_go.bin_size
    params = inverter.init(init_key)._replace(centre=centre, half=half, visited=jnp.asarray(visited))
    draw = places_sampler(jnp.asarray(graph.nodes), 0.3 * config.cost_to_go.bin_size)
    optimizer = default_optimizer(settings.learning_rate, settings.steps)
    update = inverter_update(
        inverter,
        build_level_model(planner),
        SubgoalObjective(planner),
        model_params,
        cost_params,
        optimizer,
        draw,
        inverter_training(settings),
        model_params.std,
    )
    state = inverter_state(optimizer, params, train_key, draw, settings.batch)
    state = run_stage(
        run, "inverter", update, state, settings.steps, config.block, config.checkpoint_every, headline="cost"
    )
    return PlannerParams(state.params, model_params, cost_params)


def train_planner(config: Config, run: RunFolder, seed: int) -> tuple[str, PlannerOf]:
    """The whole training; a run that was killed goes on where its last checkpoint left it.

    Returns:
        The environment's name, and the planner for a number of refinement steps; it is also saved under ``planner/``.
    """
    description = describe(config)
    level_key, cost_key, model_key, inverter_key = streams(
        from_seed(seed), "level rows", "level cost-to-go", "level model", "sub-goal inverter"
    )
    main = upright_rows(walking_data(config.data, description.env, run), config.data.upright)
    cost_params, graph = train_cost_to_go(config, run, main, cost_key)
    model_params = train_level_model(config, run, achieved(config, run, main, level_key), model_key)
    upper = train_subgoals(config, run, model_params, cost_params, graph, inverter_key)
    params = SubgoalParams(upper, load_planner(config.motor)[1])
    save_planner(run.path / "planner", description, params, shares=config.motor)
    return description.env, lambda refine_steps: (build_ant_stack(description, refine_steps), params)


def evaluate(settings: EvaluationConfig, env: str, planner_of: PlannerOf) -> Iterator[tuple[dict[str, Any], str]]:
    """Episodes in the environment: a record and a line for each number of refinement steps."""
    for refine_steps in sorted(set(settings.refine_steps)):
        planner, params = planner_of(refine_steps)
        record, _ = evaluate_ant(planner, params, env, settings.episodes, settings.seed, "mujoco")
        yield record, summary(record)
