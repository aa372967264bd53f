"""Checkpoints: written whole, read back equal, and damaged ones passed over."""

import os
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import ROOT

from invlearn_jax.io.checkpoint import Checkpoints
from invlearn_jax.learn.loop import TrainState


def state(width=4):
    params = {"w": jnp.arange(float(width)), "b": jnp.ones(())}
    return TrainState(jnp.int32(7), jax.random.key(5), params, optax.adam(1e-3).init(params), ())


def test_checkpoint_round_trip(tmp_path):
    checkpoints, saved = Checkpoints(tmp_path), state()
    checkpoints.save(7, saved)
    restored = (
        Checkpoints(tmp_path)
        .restore(jax.tree.map(jnp.zeros_like, saved._replace(key=jax.random.key(0)), is_leaf=None))
        .state
    )
    for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(saved), strict=True):
        a, b = (jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in (a, b))
        np.testing.assert_array_equal(a, b)


def test_checkpoint_of_another_architecture(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(7, state())
    with pytest.raises(ValueError, match=r"another architecture: .*'w'.* shape \(4,\) there and \(5,\)"):
        checkpoints.restore(state(5))


def test_no_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        Checkpoints(tmp_path).restore(state())


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path):
    """A file-size limit stands in for the full disk: the write fails half-way, as it does there."""
    script = f"""
import resource, signal, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
import jax.numpy as jnp
from test_checkpoints import state, Checkpoints
checkpoints = Checkpoints({str(tmp_path)!r})
checkpoints.save(1, state(50_000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
try:
    checkpoints.save(2, state(50_000))
except OSError as error:
    print("refused:", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
again = Checkpoints({str(tmp_path)!r})
print("latest", again.latest(), float(again.restore(state(50_000)).state.params["w"][3]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache" / "tests")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "refused: Could not save the checkpoint of step 2" in done.stdout, done.stderr[-2000:]
    assert "latest 1 3.0" in done.stdout


# --- damaged checkpoints ---


def without(name):
    return lambda folder: (folder / name).unlink()


def emptied(name):
    return lambda folder: (folder / name).write_bytes(b"")


def halved(name):
    def halve(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return halve


def empty_folder(folder):
    shutil.rmtree(folder)
    folder.mkdir()


DAMAGES = {
    "no list of arrays": (without("default/_METADATA"), "_METADATA, is missing"),
    "half a list of arrays": (halved("default/_METADATA"), "Unterminated string"),
    "no manifest": (emptied("default/manifest.ocdbt"), "DATA_LOSS"),
    "stray folder": (empty_folder, "default item"),
    "half a JSON": (halved("default/_sharding"), "Invalid JSON"),
}


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    checkpoints = Checkpoints(folder)
    for step in (20, 40):
        checkpoints.save(step, state()._replace(step=jnp.int32(step)))
    checkpoints.close()
    return folder


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path, two_steps, how):
    shutil.copytree(two_steps, tmp_path / "c")
    damage, reason = DAMAGES[how]
    damage(tmp_path / "c" / "40")
    checkpoints = Checkpoints(tmp_path / "c")
    restored = checkpoints.restore(state())
    assert int(restored.state.step) == 20
    (sentence,) = restored.skipped
    assert "step 40 is damaged" in sentence
    assert reason in sentence
    assert str(tmp_path / "c" / "damaged-40") in sentence
    # Its step can be saved again, and is then the newest.
    checkpoints.save(40, state()._replace(step=jnp.int32(41)))
    assert Checkpoints(tmp_path / "c").latest() == 40
    again = Checkpoints(tmp_path / "c").restore(state())
    assert (int(again.state.step), again.skipped) == (41, ())


def test_no_whole_checkpoint_left(tmp_path, two_steps):
    shutil.copytree(two_steps, tmp_path / "c")
    for step in ("20", "40"):
        (tmp_path / "c" / step / "default" / "_METADATA").unlink()
    with pytest.raises(
        ValueError, match=rf"No checkpoint in {tmp_path / 'c'} is whole .*step 40: .*delete it to train"
    ):
        Checkpoints(tmp_path / "c").restore(state())
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["20", "40"]


def test_another_architecture_is_no_damage(tmp_path, two_steps):
    shutil.copytree(two_steps, tmp_path / "c")
    shutil.rmtree(tmp_path / "c" / "40" / "default")
    with pytest.raises(ValueError, match="another architecture"):
        Checkpoints(tmp_path / "c").restore(state(5))
    assert (tmp_path / "c" / "40").is_dir()
