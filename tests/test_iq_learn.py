"""The methods iq-learn and sac from a file of demonstrations to a saved planner, and what they refuse."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import read_record, run_here
from test_imitation import RIGHT, Corridor

import invlearn_jax as il
from invlearn_jax.imitation.curve import policy_episodes, task_returns
from invlearn_jax.imitation.demonstrations import from_episodes, read_demonstrations, write_demonstrations
from invlearn_jax.imitation.reward import agreement, recovered_rewards
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.keys import from_seed
from invlearn_jax.learn.loop import NonFiniteLossError
from invlearn_jax.learn.stages import Run
from invlearn_jax.methods import iq_learn
from invlearn_jax.methods.fitting import method_settings
from invlearn_jax.settings import with_settings
from invlearn_jax.tasks.task import Episodes

SMALL = {
    "hidden": (16,), "critics": 1, "critic_rate": 3e-3, "temperature": 0.05, "scale_features": False,
    "learner.batch": 16, "learner.slowness": 0.0, "learner.explore": 20, "learner.iq.discount": 0.9,
    "steps": 1500, "block": 250, "checkpoint_every": 500, "evaluate_every": 500, "evaluate_episodes": 4,
    "model.hidden": (8,), "model.steps": 20, "model.horizon": 1, "model.chunk": 1,
}  # fmt: skip
OFFLINE = {"online": False, "learner.iq.value_rows": "expert", "learner.iq.penalty_rows": "expert"}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Four trajectories of going right."""
    task, path = Corridor(), tmp_path_factory.mktemp("demos") / "corridor.npz"
    write_demonstrations(
        path, from_episodes(task, policy_episodes(task, lambda s: jnp.ones((len(s), 1)), from_seed(1), 4))
    )
    return path


def settings(file, **changes):
    given = SMALL | {"demonstrations.path": str(file), "demonstrations.trajectories": 3} | changes
    return with_settings(method_settings(Corridor(), "iq-learn"), given)


def imitated(folder, own):
    with RunFolder(folder) as run:
        return iq_learn.imitate(Corridor(), own, Run(run), from_seed(0))


@pytest.fixture(scope="module")
def fitted(file, tmp_path_factory):
    """Offline, by the library's front door."""
    workdir = tmp_path_factory.mktemp("runs") / "offline"
    return workdir, *il.fit(Corridor(), "iq-learn", workdir, settings=settings(file, **OFFLINE))


def goes_right(planner, params):
    plan = jax.jit(planner.plan)
    problems = [il.Problem(jnp.array([float(cell)]), jnp.zeros(0)) for cell in range(RIGHT)]
    return [float(plan(params, jax.random.key(0), problem).actions[0, 0]) for problem in problems]


def test_what_was_learned_offline_goes_right_and_is_kept(fitted):
    workdir, planner, params = fitted
    assert goes_right(planner, params) == [1.0] * RIGHT
    assert [row["step"] for row in json.loads((workdir / "curve.json").read_text())["rows"]] == [500, 1000, 1500]
    assert goes_right(*il.load_planner(workdir / "planner")) == [1.0] * RIGHT


def test_online_a_run_stops_once_the_expert_is_reached_and_is_not_taken_up_again(file, tmp_path):
    own = settings(file, steps=4000, **{"learner.iq.absorbing": True, "learner.iq.value_rows": "all"})
    # Rewards are -1 a step: an expert who takes n steps is worth -n, and one who takes three times as many a share of -1.
    learned = imitated(tmp_path, dataclasses.replace(own, enough=-1.0))
    assert learned.steps < 4000 and learned.executed is not None
    assert imitated(tmp_path, dataclasses.replace(own, enough=-1.0)).steps == learned.steps
    # Episodes begin and end as those of the world: each row leads to the next but where one ended.
    rows = learned.executed
    steps = np.abs(np.diff(rows.states[:, 0]))[~rows.ends[:-1]]
    assert len(rows.states) == learned.steps and (steps <= 1).all()


def test_a_run_that_was_cut_goes_on_as_if_it_had_not_been(file, tmp_path):
    """World and replay are part of what is kept."""
    own = settings(file, steps=1000, capacity=400)
    whole = imitated(tmp_path / "whole", own)
    imitated(tmp_path / "cut", dataclasses.replace(own, steps=500))
    cut = imitated(tmp_path / "cut", own)
    for one, other in zip(jax.tree.leaves(whole.params), jax.tree.leaves(cut.params), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(whole.executed.states, cut.executed.states)


def test_the_tasks_own_reward_makes_an_expert(tmp_path):
    own = with_settings(method_settings(Corridor(), "sac"), SMALL | {"learner.slowness": 0.02, "steps": 3000})
    learned = imitated(tmp_path, own)
    assert learned.expert is None
    returns = task_returns(
        Corridor(), policy_episodes(Corridor(), iq_learn.actor(learned.policy, learned.params), from_seed(2), 8)
    )
    assert returns.min() >= -RIGHT


def test_the_recovered_reward_is_q_less_the_discounted_value(fitted):
    _, planner, params = fitted
    policy, own = planner.inverter.policy, params.inverter.policy
    rows = policy_episodes(Corridor(), lambda s: jnp.ones((len(s), 1)), from_seed(3), 5)
    found = recovered_rewards(policy, own, 0.9, from_seed(0), rows)
    cell = int(rows.states[0, 0, 0])
    q = policy.agent.all_q(own.net.critic, jnp.arange(RIGHT + 1.0)[:, None] / RIGHT)[0]
    value = 0.05 * jax.nn.logsumexp(q / 0.05, axis=1)
    np.testing.assert_allclose(
        found.recovered[0, 0], q[cell, 1] - 0.9 * value[cell + 1] * (cell + 1 < RIGHT), atol=1e-5
    )
    assert (found.steps == RIGHT - rows.states[:, 0, 0]).all() and (found.recovered[0, found.steps[0] :] == 0).all()
    # The true reward of a step never varies.
    figures = agreement(found)
    assert figures["episodes"] == 5 and figures["step_pearson"] is None
    with pytest.raises(ValueError, match="at least 3"):
        agreement(recovered_rewards(policy, own, 0.9, from_seed(0), Episodes(*(x[:2] for x in rows))))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"demonstrations.path": ""}, r"No demonstrations come with Corridor.*experiments\.demonstrate"),
        ({"demonstrations.trajectories": 9}, "trajectories is 9"),
        ({"demonstrations.every": 50}, "every is 50"),
        ({"learner.teaching": "tests"}, "teaching"),
        ({"physics": "moon"}, "physics"),
        ({"online": False}, "Offline all rows are the expert's"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(file, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        imitated(tmp_path, settings(file, **changes))


def test_a_temperature_of_zero_is_no_setting(file):
    with pytest.raises(ValueError, match="temperature"):
        il.fit(Corridor(), "iq-learn", settings=SMALL | {"demonstrations.path": str(file), "temperature": 0.0})


def test_a_critic_that_diverges_leaves_the_last_good_checkpoint(file, tmp_path):
    own = settings(file, **OFFLINE)
    imitated(tmp_path, dataclasses.replace(own, steps=500))
    with pytest.raises(NonFiniteLossError, match="imitation diverged"):
        imitated(tmp_path, dataclasses.replace(own, critic_rate=1e38))
    assert [path.name for path in (tmp_path / "checkpoints" / "imitation").iterdir() if path.name.isdigit()] == ["500"]


def test_the_benchmark_writes_a_row_for_each_training(file, fitted, tmp_path):
    corridor = f"{__file__}:Corridor"
    changes = [f"--set={name}={value}" for name, value in SMALL.items()]
    shared = [f"--data=Corridor={file}", *changes, "--episodes=4", f"--runs={tmp_path / 'runs'}"]
    given = [f"--tasks={corridor}", "--methods=iq-learn-offline", "--seeds=0,1", "--preset=quick", *shared]
    run_here("benchmarks.iq_learn", *given, f"--output={tmp_path / 'rows.json'}")
    rows = read_record(None, tmp_path / "rows.json")["rows"]
    named = {
        "task",
        "method",
        "demos",
        "seed",
        "return_mean",
        "expert_return",
        "share",
        "env_steps",
        "updates_per_s",
        "wall_s",
    }
    assert len(rows) == 2 and all(named <= row.keys() for row in rows)
    assert [row["seed"] for row in rows] == [0, 1] and rows[0]["env_steps"] == 0
    given = ["--what=reward", f"--planners={fitted[0] / 'planner'}", "--episodes=5"]
    run_here("benchmarks.iq_learn", *given, f"--output={tmp_path / 'reward.json'}")
    (row,) = read_record(None, tmp_path / "reward.json")["rows"]
    assert row["task"] == "Corridor" and row["episodes"] == 5 and {"pearson", "spearman"} <= row.keys()


def test_without_rewards_in_the_demonstrations_training_goes_on_to_its_end(file, tmp_path):
    bare = read_demonstrations(file, Corridor())._replace(rewards=None)
    write_demonstrations(tmp_path / "bare.npz", bare)
    own = settings(tmp_path / "bare.npz", **OFFLINE, enough=-50.0, steps=2500)
    assert imitated(tmp_path / "run", own).steps == 2500
    assert (
        imitated(tmp_path / "known", dataclasses.replace(own, demonstrations=settings(file).demonstrations)).steps
        < 2500
    )
