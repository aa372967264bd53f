"""Data files that are damaged or hostile: every error names the file, and no memory is taken for what a file cannot hold."""

import sys
from types import SimpleNamespace

import h5py
import jax
import numpy as np
import pytest
from helpers import d4rl_arrays, make_dataset

from invlearn_jax import data
from invlearn_jax.tasks.antmaze import goal_policy
from invlearn_jax.tasks.antmaze.goal_policy import fresh_policy

WRITE = {
    "d4rl": lambda folder: (data.write_d4rl(folder / "a.hdf5", d4rl_arrays()), folder / "a.hdf5", data.read),
    "ogbench": lambda folder: (data.write_ogbench(folder / "a.npz", make_dataset()), folder / "a.npz", data.read),
    "minari": lambda folder: (
        data.write_minari(folder, make_dataset()),
        folder / "data" / "main_data.hdf5",
        lambda path: data.read_minari(path.parent.parent),
    ),
    "policy": lambda folder: (
        goal_policy.write_goal_policy(folder / "p.npz", fresh_policy(jax.random.key(0), (4,))),
        folder / "p.npz",
        goal_policy.read_goal_policy,
    ),
}


@pytest.mark.parametrize("kind", WRITE)
def test_flipped_bits_are_found_or_harmless_and_the_file_is_named(tmp_path, kind):
    _, path, read = WRITE[kind](tmp_path)
    whole, rng, named = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(150):
        content = bytearray(whole)
        for place in rng.integers(len(content), size=3):
            content[place] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        try:
            read(path)
        except ValueError as error:
            assert path.name in str(error)
            named += 1
    assert named > 10


def damaged(path, change):
    """D4RL's file with one array replaced by ``change(file)``."""
    arrays = d4rl_arrays()
    data.write_d4rl(path, arrays)
    with h5py.File(path, "r+") as file:
        del file["actions"]
        change(file)
    return path


def never_filled(file):
    # 2 KB on the disk.
    file.create_dataset("actions", shape=(10**10, 8), dtype="f4", chunks=(1000, 8), compression="gzip")


def too_large(file):
    file.create_dataset("actions", shape=(10**7, 2), dtype="f4", chunks=(1000, 2), compression="gzip")


def stored_elsewhere(file):
    file.create_dataset("actions", shape=(9, 2), dtype="f4", external=[("/etc/passwd", 0, 72)])


def virtual(file):
    layout = h5py.VirtualLayout(shape=(9, 2), dtype="f4")
    layout[:] = h5py.VirtualSource("other.hdf5", "actions", shape=(9, 2))
    file.create_virtual_dataset("actions", layout)


def linked(file):
    file["actions"] = h5py.ExternalLink("other.hdf5", "actions")


def linked_within(file):
    file["actions"] = h5py.SoftLink("/observations")


HOSTILE = [
    (never_filled, r"'actions' takes 320000000000 bytes when unpacked; allowed are 4294967296"),
    (too_large, r"'actions' is damaged or was never filled: its 0 bytes in the file cannot hold the 80000000"),
    (stored_elsewhere, r"'actions' is stored in other files, which are not read"),
    (virtual, r"'actions' is stored in other files, which are not read"),
    (linked, r"'actions' is a soft or external link, which is not followed"),
    (linked_within, r"'actions' is a soft or external link"),
    (lambda file: file.create_dataset("actions", data=h5py.Empty("f4")), "'actions' holds nothing"),
    (
        lambda file: file.create_dataset("actions", data=np.zeros((9, 2), complex)),
        "'actions' holds complex128; real numbers",
    ),
    (lambda file: file.create_dataset("actions", data=["text"] * 9), "'actions' holds object; real numbers"),
]


@pytest.mark.parametrize(("change", "message"), HOSTILE)
def test_hostile_arrays_are_refused_before_they_are_read(tmp_path, change, message):
    data.write_d4rl(tmp_path / "other.hdf5", d4rl_arrays())
    path = damaged(tmp_path / "a.hdf5", change)
    with pytest.raises(ValueError, match=rf"a\.hdf5: {message}"):
        data.read(path)


def test_links_are_not_followed_in_groups_either(tmp_path):
    data.write_d4rl(tmp_path / "other.hdf5", d4rl_arrays())
    path = tmp_path / "a.hdf5"
    data.write_d4rl(path, d4rl_arrays())
    with h5py.File(path, "r+") as file:
        del file["infos"]
        file["infos"] = h5py.ExternalLink("other.hdf5", "infos")
    with pytest.raises(ValueError, match=r"a\.hdf5: 'infos/qpos' is a soft or external link"):
        data.read(path)
    data.write_minari(tmp_path / "m-v0", make_dataset())
    with h5py.File(tmp_path / "m-v0" / "data" / "main_data.hdf5", "r+") as file:
        file["episode_7"] = h5py.ExternalLink(str(tmp_path / "other.hdf5"), "infos")
    with pytest.raises(ValueError, match=r"main_data\.hdf5: 'episode_7' is a soft or external link"):
        data.read(tmp_path / "m-v0")


def test_damage_that_the_minari_package_meets_names_the_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def broken():
        yield SimpleNamespace(id=0, observations=np.zeros((3, 4)), actions=np.zeros((2, 2)), rewards=None)
        raise KeyError("total_steps")

    monkeypatch.setitem(
        sys.modules,
        "minari",
        SimpleNamespace(load_dataset=lambda _: SimpleNamespace(iterate_episodes=broken)),
    )
    with pytest.raises(ValueError, match=r"Minari data set 'maze-v0': damaged, and cannot be read \('total_steps'\)"):
        data.read_minari("maze-v0")


# ---- Minari's parts


def minari_folder(folder, observation, achieved, actions):
    (folder / "data").mkdir(parents=True)
    with h5py.File(folder / "data" / "main_data.hdf5", "w") as file:
        file["episode_0/observations/observation"] = observation
        file["episode_0/observations/achieved_goal"] = achieved
        file["episode_0/observations/desired_goal"] = np.ones((len(achieved), 2))
        file["episode_0/actions"] = actions
    return folder


@pytest.mark.parametrize("held", [[], [0], [0, 1]])
def test_minari_takes_from_the_achieved_goal_what_the_observation_lacks(tmp_path, held, monkeypatch):
    rng = np.random.default_rng(0)
    achieved, rest, actions = rng.normal(size=(9, 2)), rng.normal(size=(9, 27)), rng.normal(size=(8, 8))
    observation = np.concatenate([achieved[:, held], rest], axis=1)
    rows = data.read(minari_folder(tmp_path / "ant-v0", observation, achieved, actions))
    expected = np.concatenate([achieved[:, [g for g in (0, 1) if g not in held]], observation], axis=1)
    np.testing.assert_array_equal(rows.states, expected.astype(np.float32))
    # The same through the package.
    episode = SimpleNamespace(
        id=0, observations={"observation": observation, "achieved_goal": achieved}, actions=actions, rewards=None
    )
    package = SimpleNamespace(load_dataset=lambda _: SimpleNamespace(iterate_episodes=lambda: iter([episode])))
    monkeypatch.setitem(sys.modules, "minari", package)
    np.testing.assert_array_equal(data.read_minari("other-v0").states, rows.states)


def test_minari_achieved_goal_of_another_length_is_refused(tmp_path):
    folder = minari_folder(tmp_path / "ant-v0", np.zeros((9, 27)), np.zeros((8, 2)), np.zeros((8, 8)))
    with pytest.raises(ValueError, match="episode_0: 'observations/achieved_goal' has 8 rows, 'observations' has 9"):
        data.read(folder)
