"""maze2d from data to planner: data, forward model, cost-to-go, Inverter, each stage resumable."""

import jax
import jax.numpy as jnp

from experiments.configs.maze2d import Config
from experiments.pipelines.maze_data import Data, load_data
from experiments.pipelines.stages import PlannerOf, distil_graph, inverter_training, run_stage
from invlearn_jax.data import concatenate, fit_normalizer, longest_episode, split, window_store
from invlearn_jax.files import write_json
from invlearn_jax.io.planners import save_planner
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.keys import from_seed, streams
from invlearn_jax.learn.forward_model import Source, forward_model_state, forward_model_update, prediction_errors
from invlearn_jax.learn.inverter import check_advance, inverter_state, inverter_update, problem_sampler
from invlearn_jax.learn.loop import default_optimizer
from invlearn_jax.models.cost_to_go import CostToGoParams, PositionGraph, position_graph
from invlearn_jax.models.coverage import distance_to_data
from invlearn_jax.models.sequence import SequenceParams
from invlearn_jax.planners.planner import PlannerParams
from invlearn_jax.tasks.maze2d import specs as maze2d_specs
from invlearn_jax.tasks.maze2d.hacking import hacking_gap, hacking_summary
from invlearn_jax.tasks.maze2d.model import MAX_SPEED
from invlearn_jax.tasks.maze2d.planner import (
    POSITION_SIZE,
    MazeObjective,
    build_cost_to_go,
    build_inverter,
    build_model,
    build_planner,
)
from invlearn_jax.tasks.registry import make_task


def check(config: Config) -> None:
    """Builds everything once without training it, so that a bad setting costs no time.

    Raises:
        ValueError: for an unknown environment, or settings that do not fit together.
    """
    maze2d_specs.spec(config.planner.env)
    build_planner(config.planner)
    check_advance(config.inverter.advance, config.planner.horizon)


def train_model(config: Config, run: RunFolder, data: Data, key: jax.Array) -> SequenceParams:
    """Trains the forward model and writes its held-out errors to ``model.json``."""
    settings, model = config.model, build_model(config.planner)
    main, main_held = split(data.main, config.data.held_out)
    sources, held, train_rows = [Source(window_store(main, settings.horizon), 1.0)], {data.name: main_held}, main
    if data.broad is not None:
        broad, held["random"] = split(data.broad, config.data.held_out)
        sources = [
            Source(sources[0].store, 1.0 - settings.random_share),
            Source(window_store(broad, settings.horizon), settings.random_share),
        ]
        train_rows = concatenate(main, broad)
    optimizer = default_optimizer(settings.learning_rate, settings.steps)
    state = forward_model_state(model, optimizer, key, train_rows, fit_normalizer(train_rows))
    update = forward_model_update(model, optimizer, sources, settings.batch, settings.horizon)
    state = run_stage(
        run, "model", update, state, settings.steps, config.block, config.checkpoint_every, headline="model_loss"
    )
    horizon = config.planner.horizon
    errors = {
        name: prediction_errors(model, state.params, rows, horizon, POSITION_SIZE)
        for name, rows in held.items()
        if longest_episode(rows) > horizon
    }
    write_json(run.path / "model.json", errors)
    return state.params


def train_cost_to_go(
    config: Config, run: RunFolder, data: Data, key: jax.Array
) -> tuple[CostToGoParams, PositionGraph]:
    """Builds the data's graph and distils it."""
    settings, model, rows = config.cost_to_go, build_cost_to_go(config.planner), data.joined()
    graph = position_graph(
        rows.states[:, :POSITION_SIZE], rows.ends, MAX_SPEED, settings.bin_size, min_count=settings.min_count
    )
    return distil_graph(run, model, graph, settings, config.block, config.checkpoint_every, key), graph


def train_inverter(
    config: Config,
    run: RunFolder,
    model_params: SequenceParams,
    cost_params: CostToGoParams,
    graph: PositionGraph,
    key: jax.Array,
) -> PlannerParams:
    """Trains the Inverter through the frozen model; starts and goals are the graph's nodes, evenly spread over the data."""
    settings, planner = config.inverter, config.planner
    inverter, init_key, train_key = build_inverter(planner), *jax.random.split(key)
    state_scale = model_params.std
    centre, half = cost_params.centre, cost_params.half
    visited = distance_to_data(graph.nodes, centre, half) <= 1.5 * config.cost_to_go.bin_size
    params = inverter.init(init_key)._replace(
        centre=centre, half=half, scale=state_scale[POSITION_SIZE:], visited=jnp.asarray(visited)
    )
    draw = problem_sampler(jnp.asarray(graph.nodes), state_scale[POSITION_SIZE:])
    optimizer = default_optimizer(settings.learning_rate, settings.steps)
    update = inverter_update(
        inverter,
        build_model(planner),
        MazeObjective(planner),
        model_params,
        cost_params,
        optimizer,
        draw,
        inverter_training(settings),
        state_scale,
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
    model_key, cost_key, inverter_key, hacking_key = streams(
        from_seed(seed), "model", "cost-to-go", "inverter", "hacking"
    )
    data = load_data(config.data, config.planner.env, run, seed)
    model_params = train_model(config, run, data, model_key)
    cost_params, graph = train_cost_to_go(config, run, data, cost_key)
    params = train_inverter(config, run, model_params, cost_params, graph, inverter_key)
    save_planner(run.path / "planner", config.planner, params)
    if config.hacking_problems:
        env = make_task(config.planner.env).environment
        report = hacking_gap(build_planner(config.planner), params, env, hacking_key, config.hacking_problems)
        write_json(run.path / "hacking.json", hacking_summary(report))
    return config.planner.env, lambda refine_steps: (build_planner(config.planner, refine_steps), params)
