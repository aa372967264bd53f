"""Random keys: named streams never meet splits, a training consumes no key twice, seeds that would repeat are refused."""

import ast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl import flags
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from experiments.configs.maze2d import Config
from experiments.pipelines import ant_motor, maze2d, maze_data
from invlearn_jax.data import Dataset, fit_normalizer, window_store
from invlearn_jax.io.command import define_seed
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.keys import MAX_SEED, check_seed, from_seed, generator, indexed, stream, streams
from invlearn_jax.learn.forward_model import Source, ensemble_state, ensemble_update, forward_model_update
from invlearn_jax.learn.inverter import InverterTraining, inverter_state, inverter_update, problem_sampler
from invlearn_jax.methods.fitting import fit
from invlearn_jax.tasks.maze2d.planner import MazePlannerConfig, build_cost_to_go, build_inverter, build_model

SPLITS = 4096
SMALL = MazePlannerConfig(
    horizon=4,
    execute_steps=2,
    model_chunk=4,
    inverter_hidden=(4,),
    model_hidden=(4,),
    cost_to_go_hidden=(4,),
    inverter_octaves=1,
    model_octaves=1,
    cost_to_go_octaves=1,
)


def values(keys):
    """Keys as hashable values."""
    return [tuple(row) for row in np.asarray(jax.random.key_data(keys)).reshape(-1, 2).tolist()]


@given(st.integers(0, MAX_SEED), st.lists(st.text(), unique=True, max_size=8), st.integers(0, 2**30 - 1))
def test_streams_indices_and_splits_of_a_key_are_apart(seed, names, index):
    key = from_seed(seed)
    made = values(jax.random.split(key, SPLITS))
    made += [value for each in (0, index) for value in values(indexed(key, each))][: 1 + (index > 0)]
    made += [value for each in streams(key, *names) for value in values(each)]
    assert len(made) == SPLITS + 1 + (index > 0) + len(names)
    assert len(set(made)) == len(made)


def test_what_streams_are_for():
    key = jax.random.key(0)
    # The reason for all this.
    assert values(jax.random.fold_in(key, 3)) == values(jax.random.split(key, 8)[3])
    assert values(stream(key, "noise")) == values(streams(key, "data", "noise")[1])
    assert values(indexed(key, 5)) == values(jax.jit(indexed)(key, jnp.int32(5)))


@pytest.mark.parametrize("names", [("a", "b", "a"), ("plumless", "buckeroo")])
def test_names_that_would_be_one_key_are_refused(names):
    with pytest.raises(ValueError, match="repeat a name, or two names have the same checksum"):
        streams(jax.random.key(0), *names)


@pytest.mark.parametrize("index", [-1, 2**30])
def test_indices_out_of_their_quarter_are_refused(index):
    with pytest.raises(ValueError, match=f"index is {index}; give 0 to"):
        indexed(jax.random.key(0), index)


def test_generators_differ_by_key():
    first, other = streams(jax.random.key(0), "a", "b")
    assert generator(first).random() == generator(first).random() != generator(other).random()


# Seeds.


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "1", True, None])
def test_seeds_without_a_key_of_their_own_are_refused(seed):
    with pytest.raises(ValueError, match="seed is .*; give a whole number from 0 to 2"):
        from_seed(seed)


@pytest.mark.parametrize("seed", [0, MAX_SEED, np.int64(7), np.uint32(MAX_SEED)])
def test_seeds_with_one_are_taken(seed):
    assert check_seed(seed) == int(seed)
    assert values(from_seed(seed)) == values(jax.random.key(int(seed)))


def test_library_calls_refuse_such_seeds(tmp_path):
    with pytest.raises(ValueError, match="seed is -1"):
        fit("gate-qubit", workdir=tmp_path / "run", seed=-1)
    assert not (tmp_path / "run").exists()


PROGRAMS = sorted([*(ROOT / "experiments").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")])


def seed_flags(source):
    """How each flag whose name holds ``seed`` is defined."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = [(ast.unparse(call.func), [a.value for a in call.args if isinstance(a, ast.Constant)]) for call in calls]
    return [
        function
        for function, args in names
        if function == "define_seed" or ("DEFINE" in function and args and "seed" in str(args[0]))
    ]


def test_every_program_defines_its_seed_in_the_one_way():
    found = {path: seed_flags(path.read_text()) for path in PROGRAMS}
    assert {function for functions in found.values() for function in functions} == {"define_seed"}
    assert sum(map(bool, found.values())) > 15
    assert seed_flags('flags.DEFINE_integer("train_seed", 0, "")') == ["flags.DEFINE_integer"]


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_the_seed_flag_refuses_seeds_that_repeat(seed):
    own = flags.FlagValues()
    holder = define_seed(3, "A seed.", own)
    own(["program", f"--seed={MAX_SEED}"])
    assert holder.value == MAX_SEED
    with pytest.raises(flags.IllegalFlagValueError, match="seed"):
        own(["program", f"--seed={seed}"])


# One rule for all files.


def test_only_one_file_folds_numbers_into_keys():
    files = [path for part in ("invlearn_jax", "experiments", "benchmarks") for path in (ROOT / part).rglob("*.py")]
    assert [
        str(path.relative_to(ROOT))
        for path in files
        if any(
            "fold_in" in (getattr(node, "attr", None), getattr(node, "id", None), getattr(node, "name", None))
            for node in ast.walk(ast.parse(path.read_text()))
        )
    ] == ["invlearn_jax/keys.py"]


def stream_names(source):
    """The names of the streams that a file makes of a seed's own key."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args]
    return [
        ast.literal_eval(name)
        for call in calls
        if ast.unparse(call.func) in {"stream", "streams"} and ast.unparse(call.args[0]).startswith("from_seed(")
        for name in call.args[1:]
        if isinstance(name, ast.Constant)
    ]


def test_pipelines_of_one_seed_share_no_stream():
    found = [name for path in (ROOT / "experiments").rglob("*.py") for name in stream_names(path.read_text())]
    assert {"controller data", "cost-to-go", "plans", "motor"} <= set(found)
    assert sorted(found) == sorted(set(found))


# A training's keys, one by one.


def primitives(function):
    """The primitives of a function of a key, by name, those of inner programs included."""
    found, todo = {}, [jax.make_jaxpr(function)(jax.random.key(0)).jaxpr]
    while todo:
        for equation in todo.pop().eqns:
            found[equation.primitive.name] = equation.primitive
            todo += [inner.jaxpr for inner in equation.params.values() if hasattr(inner, "jaxpr")]
    return found


@pytest.fixture
def consumed(monkeypatch):
    """Every key that is drawn from or split from now on, by value; programs run operation by operation, so that keys are seen.

    A key that has numbers folded in is recorded with the number: that it gives several streams is no fault, the same twice is.
    """
    seen = []

    def record(name, function):
        primitive = primitives(function)[name]
        kept = primitive.impl

        def impl(keys, *more, **params):
            rows = np.asarray(jax.random.key_data(keys)).reshape(-1, 2)
            folded = [np.broadcast_to(np.asarray(x).ravel(), len(rows)) for x in more]
            seen.extend(map(tuple, np.column_stack([rows, *folded]).tolist()))
            return kept(keys, *more, **params)

        monkeypatch.setattr(primitive, "impl", impl)

    record("random_bits", jax.random.bits)
    record("random_split", jax.random.split)
    record("random_fold_in", lambda key: jax.random.fold_in(key, 1))
    with jax.disable_jit():
        yield seen


def repeated(seen):
    """Keys that were consumed twice; or once, and had numbers folded in that splits use."""
    used = [row for row in seen if len(row) == 2]
    folded = [row for row in seen if len(row) == 3]
    small = {row[:2] for row in folded if row[2] < 2**30} & set(used)
    return small | {row for rows in (used, folded) for row in rows if rows.count(row) > 1}


@pytest.mark.parametrize(
    "fault",
    [
        lambda key: (jax.random.split(key), jax.random.normal(key)),
        lambda key: (jax.random.normal(jax.random.split(key)[1]), jax.random.normal(jax.random.fold_in(key, 1))),
        lambda key: jax.vmap(jax.random.normal)(jnp.stack([key, key])),
        lambda key: jax.lax.scan(lambda c, x: (c, jax.random.normal(key)), 0.0, jnp.arange(2)),
        lambda key: (stream(key, "a"), stream(key, "a")),
    ],
)
def test_the_recorder_sees_keys_that_are_used_twice(consumed, fault):
    fault(jax.random.key(0))
    assert repeated(consumed)


def circling():
    """A ball on circles of several sizes."""
    angle = 0.1 * np.arange(50)[None] + np.arange(12)[:, None]
    radius = 0.3 + 0.05 * np.arange(12)[:, None]
    states = np.stack([radius * np.cos(angle), radius * np.sin(angle), -np.sin(angle), np.cos(angle)], axis=-1)
    return Dataset(
        (states.reshape(-1, 4) + np.array([2, 2, 0, 0])).astype(np.float32),
        np.zeros((600, 2), np.float32),
        np.arange(600) % 50 == 49,
    )


def test_a_maze_training_consumes_no_key_twice(consumed, monkeypatch, tmp_path):
    rows = circling()

    def made(env, key, *_):
        # The generators split their key; what they do with its parts needs a simulator.
        jax.random.split(key, 256)
        names = ("observations", "actions", "timeouts", "infos/qpos", "infos/qvel")
        return dict(zip(names, (*rows[:3], rows.states[:, :2], rows.states[:, 2:]), strict=True))

    monkeypatch.setattr(maze_data, "controller_data", made)
    monkeypatch.setattr(maze_data, "random_data", made)
    config = Config(planner=SMALL, hacking_problems=2, block=1, checkpoint_every=2)
    config.model.steps = config.cost_to_go.steps = config.inverter.steps = 2
    config.model.batch = config.cost_to_go.batch = config.inverter.batch = 2
    config.model.horizon, config.inverter.advance, config.cost_to_go.bin_size = 4, (1, 2), 0.2
    monkeypatch.setattr(maze2d, "prediction_errors", lambda *_: {})
    maze2d.train_planner(config, RunFolder(tmp_path), seed=0)
    assert len(consumed) > 100
    assert repeated(consumed) == set()


def normal_prior(params, key):
    """Some random loss."""
    return jax.random.normal(key)


def test_priors_and_members_have_keys_of_their_own(consumed):
    rows, (model_key, inverter_key) = circling(), streams(jax.random.key(0), "models", "inverter")
    model, optimizer = build_model(SMALL), optax.sgd(1e-3)
    sources = [Source(window_store(rows, 4), 1.0)] * 2
    update = ensemble_update(forward_model_update(model, optimizer, sources, 4, 4, normal_prior))
    models = ensemble_state(model, optimizer, model_key, rows, fit_normalizer(rows), 2)
    inverter, cost = build_inverter(SMALL), build_cost_to_go(SMALL)
    init_key, cost_key, train_key = jax.random.split(inverter_key, 3)
    draw = problem_sampler(jnp.asarray(rows.states[:50, :2]), jnp.ones(2))
    training = InverterTraining(batch=2, advance=(1, 2))
    learning = inverter_state(optimizer, inverter.init(init_key), train_key, draw, 2)
    step = inverter_update(
        inverter,
        model,
        lambda params, states, actions, goal: {"effort": (actions**2).sum()},
        jax.tree.map(lambda x: x[0], models.params),
        cost.init(cost_key),
        optimizer,
        draw,
        training,
        jnp.ones(4),
        normal_prior,
    )
    for _ in range(3):
        models, learning = update(models)[0], step(learning)[0]
    assert len(consumed) > 100
    assert repeated(consumed) == set()


def motor_keys(config, seed, monkeypatch, run):
    """What the stages of a motor level's training are given."""
    given_keys = {}

    def record(name, result):
        def stage(*arguments):
            key = next(
                x for x in arguments if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
            )
            given_keys[f"{name} {len(given_keys)}"] = values(key)[0]
            return result

        monkeypatch.setattr(ant_motor, name, stage)

    rows = circling()
    for name in ("first_model", "train_model", "cloned_inverter", "train_inverter"):
        record(name, ())
    for name in ("executed", "antmaze_data", "random_ant_data"):
        arrays = {"observations": rows.states, "actions": rows.actions, "timeouts": rows.ends}
        record(name, rows if name == "executed" else arrays)
    for name in ("hindsight_store", "cloning_loss", "save_planner", "write_json", "prediction_errors"):
        monkeypatch.setattr(ant_motor, name, lambda *_, **__: None)
    monkeypatch.setattr(ant_motor, "upright_rows", lambda rows, _: rows)
    monkeypatch.setattr(ant_motor, "read_goal_policy", lambda _: None)
    ant_motor.train_motor(config, run, seed)
    return given_keys


def test_a_motor_level_and_its_data_share_no_key_though_seeds_agree(monkeypatch, tmp_path):
    found = motor_keys(ant_motor.MotorConfig(), 0, monkeypatch, RunFolder(tmp_path))
    assert len(found) > 10
    again = [name for name, value in found.items() if list(found.values()).count(value) > 1]
    assert again == []
    # Nor do they have one of the parts that the data's generators split theirs into.
    parts = [
        part
        for name, value in found.items()
        if "data" in name
        for part in values(jax.random.split(jax.random.wrap_key_data(jnp.asarray(value, jnp.uint32)), 256))
    ]
    assert set(parts) & set(found.values()) == set()
