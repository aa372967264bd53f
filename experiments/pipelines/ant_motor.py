"""The ant's motor level from data to planner: forward model, cloned start, Inverter, each stage resumable."""

import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.configs.antmaze import AntDataConfig, MotorConfig
from experiments.configs.shared import EvaluationConfig
from experiments.pipelines.stages import PlannerOf, inverter_training, kept_data, run_stage
from invlearn_jax.data import Dataset, concatenate, fit_normalizer, split, window_store
from invlearn_jax.evaluate.latency import measure
from invlearn_jax.files import write_json
from invlearn_jax.io.planners import save_planner
from invlearn_jax.io.run_folder import RunFolder, manifest
from invlearn_jax.keys import from_seed, generator, indexed, stream, streams
from invlearn_jax.learn.behaviour_cloning import cloning_loss, cloning_state, cloning_update, hindsight_store
from invlearn_jax.learn.forward_model import Source, fit_scales, forward_model_update, prediction_errors
from invlearn_jax.learn.inverter import DrawProblem, check_advance, inverter_state, inverter_update
from invlearn_jax.learn.loop import TrainState, default_optimizer
from invlearn_jax.models.sequence import SequenceParams
from invlearn_jax.planners.heading_inverter import HeadingInverterParams
from invlearn_jax.planners.planner import InversePlanner, PlannerParams
from invlearn_jax.tasks.antmaze import specs as antmaze_specs
from invlearn_jax.tasks.antmaze.environment import random_start
from invlearn_jax.tasks.antmaze.files import read_ant, read_for
from invlearn_jax.tasks.antmaze.generator import antmaze_data, random_ant_data
from invlearn_jax.tasks.antmaze.goal_policy import goal_policy_names, read_goal_policy
from invlearn_jax.tasks.antmaze.locomotion import Walk, walk_openly
from invlearn_jax.tasks.antmaze.motor import (
    POSITION_SIZE,
    build_motor,
    build_motor_inverter,
    build_motor_model,
    motor_objective,
)
from invlearn_jax.tasks.antmaze.rows import Act, executed_rows, upright_rows
from invlearn_jax.tasks.antmaze.simulator import MujocoAntmaze
from invlearn_jax.types import Key, Params, Problem

Loss = Callable[[Params, Key], jax.Array]

# In place of a policy.
FLAIL = "none"
TURN = 40  # steps after which the directions of the second evaluation change


def check(config: MotorConfig) -> None:
    """Builds everything once without training it, so that a bad setting costs no time.

    Raises:
        ValueError: for an unknown environment, or settings that do not fit together.
    """
    antmaze_specs.spec(config.planner.env)
    check_data(config.data)
    build_motor(config.planner)
    check_advance(config.inverter.advance, config.planner.horizon)
    correction = config.correction
    if not 1 <= correction.follow <= config.planner.horizon or not 0 <= correction.starts < 1:
        raise ValueError(
            f"correction.follow is {correction.follow} and correction.starts {correction.starts}; a plan can be followed for 1 "
            f"to {config.planner.horizon} steps, and starts are a share from 0 to less than 1."
        )


def check_data(settings: AntDataConfig) -> None:
    """Refuses settings without data.

    Raises:
        ValueError: if there are neither files nor a policy to make data with, or the policy's file is broken.
        FileNotFoundError: if it is missing.
    """
    if not settings.path and not settings.policy:
        raise ValueError(
            "There are no data to learn from. Give files of your own by --config.data.path, or, by --config.data.policy, a "
            f"goal-reaching policy, which makes D4RL's data anew: {', '.join(goal_policy_names())}, or an npz file of your own."
        )
    if settings.policy and settings.policy != FLAIL:
        read_goal_policy(settings.policy)


def walking_data(settings: AntDataConfig, env: str, run: RunFolder) -> Dataset:
    """The user's files, or D4RL's data regenerated and kept in the run's folder."""
    paths = [path for path in settings.path.split(",") if path]
    if paths:
        # What an earlier generation of the same run executed is on an open floor, and needs no check.
        own = [run.path.resolve().parent == Path(path).resolve().parent.parent.parent for path in paths]
        readers = [read_ant if mine else functools.partial(read_for, antmaze_specs.spec(env)) for mine in own]
        return concatenate(*(reader(path) for reader, path in zip(readers, paths, strict=True)))
    return kept_data(run.path / "data" / "d4rl.npz", functools.partial(_d4rl, settings, env))


def broad_data(settings: AntDataConfig, run: RunFolder) -> Dataset:
    """Broad data on an open floor, kept in the run's folder."""
    return kept_data(run.path / "data" / "broad.npz", functools.partial(_broad, settings))


def _d4rl(settings: AntDataConfig, env: str) -> Dataset:
    key = stream(from_seed(settings.seed), "d4rl data")
    if settings.policy == FLAIL:
        rows = random_ant_data(None, key, settings.rows)
        return Dataset(rows["observations"], rows["actions"], rows["timeouts"])
    policy = read_goal_policy(settings.policy)
    rows = antmaze_data(antmaze_specs.spec(env), policy, key, settings.rows, settings.noise)
    return Dataset(rows["observations"], rows["actions"], rows["timeouts"])


def _broad(settings: AntDataConfig) -> Dataset:
    key = stream(from_seed(settings.seed), "broad data")
    # Without a policy broad data are of ants that only flail.
    policy = None if settings.policy in ("", FLAIL) else read_goal_policy(settings.policy)
    rows = random_ant_data(policy, key, settings.broad_rows)
    return Dataset(rows["observations"], rows["actions"], rows["timeouts"])


class MotorData(NamedTuple):
    """What the motor level learns from, upright rows alone.

    Attributes:
        main: D4RL's, or the user's; what is cloned.
        parts: all rows by name, with the share of a batch that each is.
    """

    main: Dataset
    parts: dict[str, tuple[Dataset, float]]


def load_data(config: MotorConfig, run: RunFolder) -> MotorData:
    """Walking data, and broad data if asked for."""
    settings, share = config.data, config.model.broad_share if config.data.broad_rows else 0.0
    main = upright_rows(walking_data(settings, config.planner.env, run), settings.upright)
    parts = {"d4rl": (main, 1.0 - share)}
    if settings.broad_rows:
        parts["broad"] = (upright_rows(broad_data(settings, run), settings.upright), share)
    return MotorData(main, parts)


def first_model(config: MotorConfig, data: MotorData, key: Key) -> SequenceParams:
    """A fresh forward model with the scales of the data in the robot's own frame."""
    model, rows = build_motor_model(config.planner), concatenate(*(part for part, _ in data.parts.values()))
    local = jax.jit(lambda states: model.frame.local(states, model.frame.heading(states)))
    normalizer = fit_normalizer(rows._replace(states=jax.device_get(local(rows.states))))
    return fit_scales(model, model.init(key), rows, normalizer)


class ModelStage(NamedTuple):
    """A stage of the forward model's training: its name, updates, learning rate, windows per update and their steps."""

    name: str
    updates: int
    rate: float
    batch: int
    horizon: int


def train_model(
    config: MotorConfig, run: RunFolder, stage: ModelStage, data: MotorData, params: SequenceParams, key: Key
) -> SequenceParams:
    """Trains the forward model from ``params``."""
    model = build_motor_model(config.planner)
    sources = [
        Source(window_store(split(rows, config.data.held_out)[0], stage.horizon), share)
        for rows, share in data.parts.values()
    ]
    optimizer = default_optimizer(stage.rate, stage.updates)
    state = TrainState(jnp.zeros((), jnp.int32), key, params, optimizer.init(params.net), ())
    update = forward_model_update(model, optimizer, sources, stage.batch, stage.horizon)
    return run_stage(
        run, stage.name, update, state, stage.updates, config.block, config.checkpoint_every, headline="model_loss"
    ).params


def local_problems(states: jax.Array, nearest: float, farthest: float) -> DrawProblem:
    """Draws a state among ``states [M, S]``, moved to the origin, and a goal ``nearest`` to ``farthest`` m away from it."""

    def draw(key: Key) -> Problem:
        row_key, angle_key, distance_key = jax.random.split(key, 3)
        state = states[jax.random.randint(row_key, (), 0, states.shape[0])].at[:POSITION_SIZE].set(0.0)
        angle = jax.random.uniform(angle_key, maxval=2 * jnp.pi)
        distance = jax.random.uniform(distance_key, minval=nearest, maxval=farthest)
        return Problem(state, distance * jnp.stack([jnp.cos(angle), jnp.sin(angle)]))

    return draw


def cloned_inverter(
    config: MotorConfig, run: RunFolder, loss: Loss, model_params: SequenceParams, key: Key
) -> HeadingInverterParams:
    """An Inverter that does what the data did, with the model's scales."""
    settings, (init_key, clone_key) = config.cloning, jax.random.split(key)
    fresh = build_motor_inverter(config.planner).init(init_key)
    optimizer = default_optimizer(settings.learning_rate, settings.steps)
    state = cloning_state(optimizer, fresh._replace(mean=model_params.mean, std=model_params.std), clone_key)
    update = cloning_update(loss, optimizer)
    return run_stage(
        run, "cloning", update, state, settings.steps, config.block, config.checkpoint_every, headline="cloning_loss"
    ).params


def train_inverter(
    config: MotorConfig,
    run: RunFolder,
    stage: str,
    starts: np.ndarray,
    loss: Loss,
    params: HeadingInverterParams,
    model_params: SequenceParams,
    updates: int,
    key: Key,
) -> HeadingInverterParams:
    """Trains the Inverter from ``params`` through the frozen model, starting in ``[M, S]``, with the cloning term kept."""
    settings, planner, weight = config.inverter, config.planner, config.cloning.weight
    draw = local_problems(jnp.asarray(starts), config.nearest, config.farthest)
    optimizer = default_optimizer(settings.learning_rate, updates)
    update = inverter_update(
        build_motor_inverter(planner),
        build_motor_model(planner),
        motor_objective(planner),
        model_params,
        (),
        optimizer,
        draw,
        inverter_training(settings),
        model_params.std,
        (lambda params, key: weight * loss(params, key)) if weight else None,
    )
    state = inverter_state(optimizer, params, key, draw, settings.batch)
    return run_stage(run, stage, update, state, updates, config.block, config.checkpoint_every, headline="cost").params


def executed(
    config: MotorConfig, run: RunFolder, data: MotorData, params: PlannerParams, round_: int, key: Key
) -> Dataset:
    """What the motor level does on an open floor, kept in the run's folder."""
    settings = config.correction

    def walk() -> Dataset:
        rng = generator(key)
        starts = data.main.states[rng.choice(len(data.main.states), settings.ants)]
        simulator = MujocoAntmaze()
        rows = executed_rows(
            tried_actions(build_motor(config.planner), params, settings.follow),
            simulator.step,
            starts,
            int(rng.integers(2**31)),
            settings.rows,
            config.farthest,
            noise=settings.noise,
        )
        simulator.close()
        return rows

    return upright_rows(kept_data(run.path / "data" / f"executed_{round_}.npz", walk), config.data.upright)


def with_executed(data: MotorData, rounds: list[Dataset], share: float) -> MotorData:
    """The data with the rows executed so far as a part of their own."""
    parts = {name: (rows, (1.0 - share) * part) for name, (rows, part) in data.parts.items()}
    return data._replace(parts=parts | {"executed": (concatenate(*rounds), share)})


def with_starts(data: MotorData, rounds: list[Dataset], share: float, key: Key) -> np.ndarray:
    """``[M, S]`` states of the data, and as many of the rows executed so far that they are a share of all."""
    count = round(share / (1 - share) * len(data.main.states)) if rounds else 0
    if not count:
        return data.main.states
    states = concatenate(*rounds).states
    return np.concatenate([data.main.states, states[generator(key).integers(len(states), size=count)]])


def train_motor(config: MotorConfig, run: RunFolder, seed: int) -> tuple[str, PlannerOf]:
    """The whole training; a run that was killed goes on where its last checkpoint left it.

    Returns:
        The environment's name, and the planner for a number of refinement steps; it is also saved under ``planner/``.
    """
    return train_generation(config, run, stream(from_seed(seed), "motor"))


def train_generation(config: MotorConfig, run: RunFolder, key: Key) -> tuple[str, PlannerOf]:
    """The training of ``train_motor`` from a key, which is consumed."""
    settings, correction, planner = config.model, config.correction, config.planner
    init_key, one_key, windows_key, clone_key, rounds_key = streams(
        key, "initial model", "single steps", "windows", "cloning", "rounds"
    )
    data = load_data(config, run)
    first = ModelStage(
        "one_step",
        settings.one_step_updates,
        settings.one_step_rate,
        settings.one_step_batch,
        planner.model_chunk,
    )
    windows = ModelStage("model", settings.steps, settings.learning_rate, settings.batch, settings.horizon)
    model_params = train_model(config, run, first, data, first_model(config, data, init_key), one_key)
    model_params = train_model(config, run, windows, data, model_params, windows_key)
    store = hindsight_store(data.main, planner.horizon)
    loss = cloning_loss(
        build_motor_inverter(planner).logits,
        store,
        config.cloning.batch,
        planner.horizon,
        lambda state: state[:POSITION_SIZE],
        config.cloning.within,
    )
    params = cloned_inverter(config, run, loss, model_params, clone_key)
    rounds: list[Dataset] = []
    for round_ in range(correction.rounds + 1):
        model_key, inverter_key, executed_key, starts_key = streams(
            indexed(rounds_key, round_), "model", "inverter", "executed", "starts"
        )
        if round_:
            rounds.append(executed(config, run, data, PlannerParams(params, model_params, ()), round_, executed_key))
            again = windows._replace(name=f"model_{round_}", updates=correction.model_steps)
            joined = with_executed(data, rounds, correction.share)
            model_params = train_model(config, run, again, joined, model_params, model_key)
        stage, updates = (f"inverter_{round_}", correction.steps) if round_ else ("inverter", config.inverter.steps)
        starts = with_starts(data, rounds, correction.starts, starts_key)
        params = train_inverter(config, run, stage, starts, loss, params, model_params, updates, inverter_key)
    errors = {
        name: prediction_errors(
            build_motor_model(planner),
            model_params,
            split(rows, config.data.held_out)[1],
            planner.horizon,
            POSITION_SIZE,
        )
        for name, (rows, _) in data.parts.items()
    }
    write_json(run.path / "model.json", errors)
    whole = PlannerParams(params, model_params, ())
    save_planner(run.path / "planner", planner, whole)
    return planner.env, lambda refine_steps: (build_motor(planner, refine_steps), whole)


def first_actions(planner: InversePlanner, params: PlannerParams) -> Act:
    """The planner as it acts where it plans anew in every step, for many ants at a time."""
    act = walker(planner, params, 1)
    return lambda states, goals: act(0, states, goals)


def tried_actions(planner: InversePlanner, params: PlannerParams, follow: int) -> Act:
    """Every second ant plans in every step; the others follow each plan for ``follow`` steps, to see what comes of it."""
    if follow == 1:
        return first_actions(planner, params)
    planning, following, steps = walker(planner, params, 1), walker(planner, params, follow), itertools.count()

    def act(states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        actions = np.empty((len(states), planner.inverter.action_size))
        actions[::2] = planning(0, states[::2], goals[::2])
        actions[1::2] = following(next(steps), states[1::2], goals[1::2])
        return actions

    return act


def walker(planner: InversePlanner, params: PlannerParams, execute_steps: int | None = None) -> Walk:
    """The planner as ``walk_openly`` takes it, planning every ``execute_steps`` (its own by default)."""
    every = execute_steps or planner.execute_steps
    plan = jax.jit(jax.vmap(lambda s, g: planner.plan(params, jax.random.key(0), Problem(s, g)).actions[:every]))
    kept = {}

    def act(step: int, states: np.ndarray, goals: np.ndarray) -> np.ndarray:
        if step % every == 0:
            kept["plan"] = np.asarray(plan(jnp.asarray(states, jnp.float32), jnp.asarray(goals, jnp.float32)))
        return kept["plan"][:, step % every]

    return act


def evaluate(settings: EvaluationConfig, env: str, planner_of: PlannerOf) -> Iterator[tuple[dict[str, Any], str]]:
    """Walking on an open floor, straight on and with turns: a record and a line for each number of refinement steps."""
    *start_keys, plan_key = jax.random.split(from_seed(settings.seed), settings.episodes + 1)
    starts = np.asarray(jax.jit(jax.vmap(random_start))(jnp.stack(start_keys)))
    for refine_steps in sorted(set(settings.refine_steps)):
        planner, params = planner_of(refine_steps)
        problem = Problem(jnp.asarray(starts[0]), jnp.array([10.0, 0.0]))
        latency = measure(planner.plan, params, plan_key, problem)
        for hold in (None, TURN):
            walk = walk_openly(walker(planner, params), starts, settings.seed, hold=hold).summary()
            record = {
                "env": env,
                "ants": settings.episodes,
                "seed": settings.seed,
                "refine_steps": refine_steps,
                "execute_steps": planner.execute_steps,
                "turn_every": hold,
                **walk,
                "plan_ms_p50": latency.p50,
                "plan_ms_p99": latency.p99,
                **manifest(settings.seed),
            }
            yield (
                record,
                (
                    f"ant K={refine_steps} {'with turns' if hold else 'straight on'}: {walk['metres_per_step']:.3f} m per step, "
                    f"{walk['flips_per_1000_steps']:.2f} flips per 1000 steps, plan {latency.p50:.2f} ms"
                ),
            )
