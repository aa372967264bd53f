"""A goal-reaching policy of the ant from nothing: motor levels learn from random exploration, a network learns from the last."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.configs.antmaze import PolicyConfig
from experiments.pipelines import ant_motor
from experiments.pipelines.stages import PlannerOf, run_stage
from invlearn_jax.data import read_ogbench
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.keys import from_seed, indexed, streams
from invlearn_jax.learn.loop import default_optimizer
from invlearn_jax.tasks.antmaze.cloning import goal_policy_state, goal_policy_update
from invlearn_jax.tasks.antmaze.goal_policy import fresh_policy, write_goal_policy
from invlearn_jax.tasks.antmaze.motor import POSITION_SIZE
from invlearn_jax.tasks.antmaze.rows import upright_rows
from invlearn_jax.types import Problem

_FAR = 10.0  # m, where the goals of such policies are

# The motor level's walk; ``benchmarks.ant_motor --policy`` has the policy's.
evaluate = ant_motor.evaluate


def check(config: PolicyConfig) -> None:
    """Builds everything once without training it. See ``ant_motor.check``.

    Raises:
        ValueError: for settings that do not fit together, or no round of correction.
    """
    for name, motor in (("flail", config.flail), ("motor", config.motor)):
        if motor.correction.rounds < 1:
            raise ValueError(
                f"What a motor level does is what comes after it learns from, so {name}.correction.rounds must be 1 or more; "
                f"it is {motor.correction.rounds}."
            )
        # Later generations have their data from those before.
        ant_motor.check(motor if name == "flail" else dataclasses.replace(motor, data=config.flail.data))


def executed_files(run: RunFolder) -> list[Path]:
    """What a generation did in its rounds."""
    return sorted((run.path / "data").glob("executed_*.npz"))


def train_policy(config: PolicyConfig, run: RunFolder, seed: int) -> tuple[str, PlannerOf]:
    """Trains the generations, then the policy on the last one's first actions; the policy is saved as ``policy.npz``.

    Returns:
        The environment's name and the last motor level.
    """
    generations_key, policy_key = streams(from_seed(seed), "generations", "policy")
    generation = RunFolder(run.path / "generation_0")
    env, motor_of = ant_motor.train_generation(config.flail, generation, indexed(generations_key, 0))
    for number in range(1, config.generations + 1):
        data = dataclasses.replace(config.motor.data, path=",".join(map(str, executed_files(generation))))
        generation = RunFolder(run.path / f"generation_{number}")
        key = indexed(generations_key, number)
        env, motor_of = ant_motor.train_generation(dataclasses.replace(config.motor, data=data), generation, key)
    planner, params = motor_of(0)
    rows = (upright_rows(read_ogbench(path), config.motor.data.upright) for path in executed_files(generation))
    states = jnp.asarray(np.concatenate([part.states for part in rows]))

    def teacher(key: jax.Array) -> tuple[Problem, jax.Array]:
        row_key, angle_key, plan_key = jax.random.split(key, 3)
        state = states[jax.random.randint(row_key, (), 0, states.shape[0])]
        angle = jax.random.uniform(angle_key, maxval=2 * jnp.pi)
        goal = state[:POSITION_SIZE] + _FAR * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        problem = Problem(state, goal)
        return problem, planner.inverter.propose(params.inverter, plan_key, problem, 1)[0, 0]

    init_key, train_key = jax.random.split(policy_key)
    optimizer = default_optimizer(config.learning_rate, config.steps)
    state = goal_policy_state(optimizer, fresh_policy(init_key, config.hidden), train_key)
    update = goal_policy_update(teacher, optimizer, config.batch)
    policy = run_stage(
        run,
        "policy",
        update,
        state,
        config.steps,
        config.motor.block,
        config.motor.checkpoint_every,
        headline="policy_loss",
    ).params
    write_goal_policy(run.path / "policy.npz", policy)
    return env, motor_of
