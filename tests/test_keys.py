"""Random keys: named streams never meet splits, a training consumes no key twice, seeds that would repeat are refused."""

import ast
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from jax.experimental import io_callback
from small_tasks import Ball

from invlearn_jax.io.command import define_seed
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.keys import MAX_SEED, check_seed, from_seed, generator, indexed, stream, streams
from invlearn_jax.learn.stages import Run
from invlearn_jax.methods import inverter
from invlearn_jax.methods.fitting import fit
from invlearn_jax.settings import with_settings

SPLITS = 4096


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
        # A list of seeds is read by ``check_seed``, as its own program says.
        if function == "define_seed"
        or ("DEFINE" in function and args and "seed" in str(args[0]) and args[0] != "seeds")
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


# A training's keys, one by one.


def random_module():
    """Where JAX has the functions of keys that all others call; it has moved between releases."""
    (equation,) = (
        e for e in jax.make_jaxpr(jax.random.split)(jax.random.key(0)).jaxpr.eqns if "split" in e.primitive.name
    )
    return sys.modules[equation.primitive.impl.__module__]


@pytest.fixture
def consumed(monkeypatch):
    """Every key that is drawn from or split from now on, by value, also within programs.

    A key that has numbers folded in is recorded with the number: that it gives several streams is no fault, the same twice is.
    """
    seen = []

    def note(rows, *folded):
        rows = np.asarray(rows).reshape(-1, 2)
        seen.extend(
            map(tuple, np.column_stack([rows, *(np.broadcast_to(np.ravel(x), len(rows)) for x in folded)]).tolist())
        )

    prng = random_module()

    def record(name, has_number):
        kept = getattr(prng, name)

        def function(keys, *more, **named):
            # What has a side effect is neither left out nor done once for two.
            io_callback(note, None, jax.random.key_data(keys), *more[:has_number])
            return kept(keys, *more, **named)

        monkeypatch.setattr(prng, name, function)

    for name, has_number in (("random_bits", False), ("random_split", False), ("random_fold_in", True)):
        record(name, has_number)
    # Programs that were traced before do not record, and those that do are of no use after.
    jax.clear_caches()
    yield seen
    jax.clear_caches()


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
    jax.block_until_ready(jax.jit(fault)(jax.random.key(0)))
    jax.effects_barrier()
    assert repeated(consumed)


@pytest.mark.parametrize("tail", ["graph", "bootstrap"])
def test_a_training_consumes_no_key_twice(consumed, monkeypatch, tmp_path, tail):
    """Data, ensemble, tail, cloning, Inverter, a round of correction, and the second model; or an Inverter with its value."""
    # The errors of each part of the data are measured on the same windows.
    monkeypatch.setattr(inverter, "model_errors", lambda *_: {})
    task = Ball()
    task.horizon = 2
    small = {"model.hidden": (4,), "net.hidden": (4,), "tail.hidden": (4,), "tail.kind": tail, "tail.bin_size": 1.0}
    small |= {"model.members": 2, "objective.disagreement": 1.0, "objective.unvisited": 0.0, "data.held_out": 0.5}
    # Two updates see whether one takes the other's keys.
    small |= {f"{part}.steps": 2 for part in ("model", "tail", "inverter", "cloning")}
    small |= {f"{part}.batch": 2 for part in ("model", "tail", "inverter", "cloning")} | {"model.horizon": 2}
    small |= {"correction.rounds": 1, "correction.robots": 2, "correction.steps": 3, "correction.model_steps": 1}
    small |= {"correction.inverter_steps": 1, "watch.steps": 1, "watch.robots": 4, "watch.executed": 3}
    small |= {"data.rows": 256, "cloning.weight": 0.1, "block": 1, "checkpoint_every": 2}
    if tail == "bootstrap":  # the stages that differ
        small |= {"model.members": 1, "objective.disagreement": 0.0, "cloning.weight": 0.0, "cloning.steps": 0}
        small |= {"correction.rounds": 0, "watch.steps": 0}
    settings = with_settings(inverter.Settings(), small)
    inverter.fit(task, settings, Run(RunFolder(tmp_path)), from_seed(0))
    jax.effects_barrier()
    assert len(consumed) > 50
    assert repeated(consumed) == set()
