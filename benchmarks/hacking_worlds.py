"""The two robots of the hacking experiment: their data, what they learn with, and how their planners are judged."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from experiments.configs.antmaze import MotorConfig
from experiments.pipelines.ant_motor import first_actions, local_problems, tried_actions
from experiments.pipelines.maze2d_stack import covered_places
from experiments.pipelines.stages import kept_data
from invlearn_jax.evaluate.closed_loop import run_mujoco, start_states
from invlearn_jax.io.planners import load_config, load_planner
from invlearn_jax.tasks.antmaze.motor import build_motor_inverter, build_motor_model, motor_objective
from invlearn_jax.tasks.maze2d.planner import MazeObjective, build_inverter, build_model

from invlearn_jax.data import (
    Dataset,
    fit_normalizer,
)
from invlearn_jax.data.dataset import kept_rows
from invlearn_jax.evaluate import wilson
from invlearn_jax.keys import from_seed, generator, stream, streams
from invlearn_jax.learn.behaviour_cloning import cloning_loss, hindsight_store
from invlearn_jax.learn.forward_model import fit_scales
from invlearn_jax.learn.inverter import InverterTraining, problem_sampler
from invlearn_jax.models.coverage import distance_to_data
from invlearn_jax.models.sequence import SequenceParams
from invlearn_jax.planners import InversePlanner, PlannerParams
from invlearn_jax.tasks.antmaze import specs as antmaze_specs
from invlearn_jax.tasks.antmaze.environment import random_start
from invlearn_jax.tasks.antmaze.generator import antmaze_data, random_ant_data
from invlearn_jax.tasks.antmaze.goal_policy import read_goal_policy
from invlearn_jax.tasks.antmaze.rows import executed_rows, upright_rows, uprightness
from invlearn_jax.tasks.antmaze.simulator import MujocoAntmaze
from invlearn_jax.tasks.d4rl import success
from invlearn_jax.tasks.maze2d.generator import controller_data, random_data
from invlearn_jax.tasks.maze2d.simulator import MujocoMaze2d
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.types import Key, Params, PlanOutput, Problem

_BIN = 0.1  # m, of the places where the narrow data of the maze are
_PLANS = 1000  # held against the simulator
_WATCHED_ANTS, _WATCHED_STEPS = 1024, 400
_MAZE_EPISODES = 100
_ANTS, _ANT_STEPS, _ANT_WAY = 200, 60, 5.0  # m that an ant has to go in so many steps


class Plans(NamedTuple):
    """N plans and what came of them, executed open loop from states where the planner gets to.

    Attributes:
        problems: what was asked.
        out: the plans.
        realised: ``[N, T+1, S]``.
        episode: ``[N]`` which one each plan's start is from.
    """

    problems: Problem
    out: PlanOutput
    realised: np.ndarray
    episode: np.ndarray

    def error(self) -> np.ndarray:
        """``[N]`` the largest distance between predicted and realised positions along a plan, metres."""
        return np.linalg.norm(np.asarray(self.out.states)[..., :2] - self.realised[..., :2], axis=-1).max(1)


def _ended(states: np.ndarray, actions: np.ndarray, ends: np.ndarray) -> Dataset:
    """The rows, whose last one ends an episode also where it is cut short."""
    return Dataset(states, actions, np.append(ends[:-1], True))


def _upright(data: dict[str, np.ndarray]) -> Dataset:
    return upright_rows(_ended(data["observations"], data["actions"], data["timeouts"]))


def _executed(step: Callable, starts: np.ndarray, actions: np.ndarray) -> np.ndarray:
    states = [np.asarray(starts, np.float64)]
    for time in range(actions.shape[1]):
        states.append(step(states[-1], actions[:, time]))
    return np.stack(states, axis=1)


def _plans(
    planner: InversePlanner, params: PlannerParams, step: Callable, problems: Problem, episode: np.ndarray
) -> Plans:
    out = jax.jit(jax.vmap(planner.plan, in_axes=(None, None, 0)))(params, jax.random.key(0), problems)
    return Plans(problems, out, _executed(step, problems.state, np.asarray(out.actions)), episode)


class Maze:
    """maze2d-umaze. The objective is the shipped planner's, and knows where the narrow data are.

    Both robots have ``narrow`` and ``broad`` data, ``model``, ``inverter``, the plain ``objective`` and ``trusting``, the one
    that keeps to the data, their ``objective_params``; ``window`` steps to train the model on; ``harm``, how many metres a
    hacked plan is off and by how much its cost is above what was predicted; and whether the model is trained on
    ``single_steps`` first.
    """

    window, harm, single_steps = 16, (0.3, 0.1), False

    def __init__(self, folder: Path, rows: int, broad_rows: int) -> None:
        """For so many rows of narrow and of broad data, kept in a folder."""
        config, _ = load_config("maze2d-umaze-v1")
        self.env = make_task(config.env).environment
        self.narrow = kept_data(folder / f"narrow_{rows}.npz", lambda: self._steered(rows))
        self.broad = kept_data(folder / f"broad_{broad_rows}.npz", lambda: self._free(broad_rows))
        self.config = dataclasses.replace(config, unvisited_weight=0.0)
        self.model, self.inverter = build_model(self.config), build_inverter(self.config)
        self.objective = MazeObjective(self.config)
        self.trusting = MazeObjective(dataclasses.replace(self.config, unvisited_weight=30.0))
        shipped, params = load_planner("maze2d-umaze-v1")
        places = _BIN * np.unique(np.round(self.narrow.states[:, :2] / _BIN), axis=0)
        unvisited = np.maximum(distance_to_data(places, params.objective.centre, params.objective.half) - _BIN, 0)
        self.objective_params = params.objective._replace(unvisited=jnp.asarray(unvisited))
        self._scaled = params.inverter
        self.training = InverterTraining(batch=192)
        self._places = covered_places(shipped.inverter, params.inverter)
        self.draw = problem_sampler(self._places, params.inverter.scale)

    def _steered(self, rows: int) -> Dataset:
        """D4RL's controller, which keeps to its lane."""
        data = controller_data(self.env, stream(jax.random.key(0), "narrow data"), rows, 0.5)
        states = np.concatenate([data["infos/qpos"], data["infos/qvel"]], 1)
        return _ended(states, data["actions"], data["timeouts"])

    def _free(self, rows: int) -> Dataset:
        """Random actions from anywhere."""
        data = random_data(self.env, stream(jax.random.key(0), "broad data"), rows)
        return _ended(data["observations"], data["actions"], data["timeouts"])

    def corridor(self, rows: Dataset) -> Dataset:
        """The corridor away from the goal alone."""
        return kept_rows(rows, rows.states[:, 0] > 2.5)

    def first_model(self, rows: Dataset, key: Key) -> SequenceParams:
        """Fresh parameters with the data's scales."""
        return fit_scales(self.model, self.model.init(key), rows, fit_normalizer(rows))

    def first_inverter(self, model_params: SequenceParams, key: Key) -> Params:
        """Fresh parameters with the shipped planner's scales."""
        return self._scaled._replace(net=self.inverter.init(key).net)

    def prior(self, rows: Dataset) -> None:
        """None: the objective holds this robot's trust region."""
        return

    def executed(self, planner: InversePlanner, params: PlannerParams, key: Key, watched: bool = False) -> Dataset:
        """Closed-loop episodes between random places, with some noise in the actions of half of them; watched: of whole plans."""
        rng = generator(key)
        count, length = 256, 200
        problems = jax.vmap(self.draw)(jax.random.split(key, count))
        plan = jax.jit(jax.vmap(lambda s, g: planner.plan(params, jax.random.key(0), Problem(s, g)).actions))
        simulator, state, goals = MujocoMaze2d(self.env.spec), np.asarray(problems.state, float), problems.goal
        every = planner.horizon if watched else planner.execute_steps
        noise, states, actions = 0.5 * (np.arange(count) % 2)[:, None], [], []
        for time in range(length):
            if time % every == 0:
                chosen = np.asarray(plan(jnp.asarray(state, jnp.float32), goals))
            action = chosen[:, time % every]
            action = np.clip(action + noise * rng.normal(size=action.shape), -1, 1)
            states.append(state.astype(np.float32))
            actions.append(action.astype(np.float32))
            state = simulator.step(state, action)
        simulator.close()
        ends = np.zeros((count, length), bool)
        ends[:, -1] = True
        return Dataset(*(np.stack(x, 1).reshape(count * length, -1) for x in (states, actions)), ends.ravel())

    def judge(self, planner: InversePlanner, params: PlannerParams, seed: int) -> tuple[dict, Plans, list]:
        """Closed-loop episodes of D4RL's task, plans from states they got to, and their tracks."""
        start_key, run_key = jax.random.split(from_seed(seed))
        starts, goals = start_states(self.env, start_key, _MAZE_EPISODES, multi_goal=False)
        rows = run_mujoco(planner, params, self.env, run_key, starts, goals)
        reached = success(rows.states, goals)
        rng = np.random.default_rng(seed)
        episode, time = rng.integers(_MAZE_EPISODES, size=_PLANS), rng.integers(rows.states.shape[1], size=_PLANS)
        problems = Problem(
            jnp.asarray(rows.states[episode, time], jnp.float32), jnp.asarray(goals[episode], jnp.float32)
        )
        simulator = MujocoMaze2d(self.env.spec)
        plans = _plans(planner, params, simulator.step, problems, episode)
        simulator.close()
        return _rate(reached), plans, [track[:, :2] for track in rows.states[:12]]


class Ant:
    """The ant's motor level on an open floor."""

    window, harm, single_steps = 10, (0.5, 0.2), True

    def __init__(self, folder: Path, policy_name: str, rows: int, broad_rows: int) -> None:
        """For so many rows of narrow and of broad data, made by a policy and kept in a folder."""
        policy, by = read_goal_policy(policy_name), Path(policy_name).stem
        # The policy on its one way through umaze, without noise; and walking and exploring at random under noise of any strength.
        umaze = antmaze_specs.spec("antmaze-umaze-v2")
        one, other, floor = streams(jax.random.key(0), "narrow data", "broad data", "standing ants")
        self.narrow = kept_data(
            folder / f"narrow_{by}_{rows}.npz", lambda: _upright(antmaze_data(umaze, policy, one, rows, noise=0.0))
        )
        self.broad = kept_data(
            folder / f"broad_{by}_{broad_rows}.npz", lambda: _upright(random_ant_data(policy, other, broad_rows))
        )
        self.settings = MotorConfig()
        config = self.settings.planner
        self.config = config
        self.model, self.inverter = build_motor_model(config), build_motor_inverter(config)
        self.objective = self.trusting = motor_objective(config)
        self.objective_params = ()
        self.training = InverterTraining(192, (1, 2, 4), 0.1, 0.1, 0.03)
        self._floor = np.asarray(jax.vmap(random_start)(jax.random.split(floor, 4096)))
        # Imagined starts are standing ants; what they come to is up to the model.
        self.draw = local_problems(jnp.asarray(self._floor), self.settings.nearest, self.settings.farthest)

    def corridor(self, rows: Dataset) -> Dataset:
        """The first corridor alone."""
        return kept_rows(rows, rows.states[:, 1] < 2)

    def first_model(self, rows: Dataset, key: Key) -> SequenceParams:
        """Fresh parameters with the data's scales in the robot's frame."""
        frame = self.model.frame
        local = jax.jit(lambda states: frame.local(states, frame.heading(states)))
        return fit_scales(
            self.model, self.model.init(key), rows, fit_normalizer(rows._replace(states=np.asarray(local(rows.states))))
        )

    def first_inverter(self, model_params: SequenceParams, key: Key) -> Params:
        """Fresh parameters with the model's scales."""
        return self.inverter.init(key)._replace(mean=model_params.mean, std=model_params.std)

    def prior(self, rows: Dataset) -> Callable[[Params, Key], jax.Array]:
        """Behaviour cloning."""
        cloning = self.settings.cloning
        store = hindsight_store(rows, self.config.horizon)
        loss = cloning_loss(
            self.inverter.logits, store, cloning.batch, self.config.horizon, lambda s: s[:2], cloning.within
        )
        return lambda params, key: cloning.weight * loss(params, key)

    def executed(self, planner: InversePlanner, params: PlannerParams, key: Key, watched: bool = False) -> Dataset:
        """The motor level on its own; watched: more of it, and every second ant follows whole plans."""
        count, steps = (_WATCHED_ANTS, _WATCHED_STEPS) if watched else (256, 200)
        act, simulator = tried_actions(planner, params, planner.horizon if watched else 1), MujocoAntmaze()
        rng = generator(key)
        starts = self._floor[rng.choice(len(self._floor), count)]
        rows = executed_rows(act, simulator.step, starts, int(rng.integers(2**31)), steps, noise=0.2)
        simulator.close()
        return upright_rows(rows)

    def judge(self, planner: InversePlanner, params: PlannerParams, seed: int) -> tuple[dict, Plans, list]:
        """Ants that have to go 5 m in 6 s, plans from states they got to, and their tracks with the goal to the right."""
        rng = np.random.default_rng(seed)
        states, angle = self._floor[rng.choice(len(self._floor), _ANTS)].astype(float), rng.uniform(0, 2 * np.pi, _ANTS)
        goals = states[:, :2] + _ANT_WAY * np.stack([np.cos(angle), np.sin(angle)], 1)
        act, simulator, tracks = first_actions(planner, params), MujocoAntmaze(), [states]
        for _ in range(_ANT_STEPS):
            tracks.append(simulator.step(tracks[-1], act(tracks[-1], goals)))
        tracks = np.stack(tracks, 1)
        reached = (np.linalg.norm(tracks[..., :2] - goals[:, None], axis=-1) <= 0.5).any(1)
        ant, time = rng.integers(_ANTS, size=_PLANS), rng.integers(_ANT_STEPS, size=_PLANS)
        upright = uprightness(tracks[ant, time]) > 0.2
        ant, time = ant[upright], time[upright]
        problems = Problem(jnp.asarray(tracks[ant, time], jnp.float32), jnp.asarray(goals[ant], jnp.float32))
        plans = _plans(planner, params, simulator.step, problems, ant)
        simulator.close()
        turn = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)
        seen = np.einsum("nij,ntj->nti", turn, tracks[..., :2] - tracks[:, :1, :2])
        flips = {"flipped": float((uprightness(tracks[:, -1]) < 0).mean())}
        return _rate(reached) | flips, plans, list(seen[:40])


World = Maze | Ant


def _rate(reached: np.ndarray) -> dict:
    rate = wilson(int(reached.sum()), len(reached))
    return {"success_rate": rate.mean, "success_ci95": [rate.low, rate.high], "episodes": len(reached)}
