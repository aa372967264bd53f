"""Data files: round trips, bad input."""

import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from helpers import assert_same, d4rl_arrays, make_dataset

from invlearn_jax import data

READERS = {"d4rl": data.read_d4rl, "ogbench": data.read_ogbench}


def raw_file(kind, path, arrays):
    """Writes arrays unchecked, in the layout of a kind of file."""
    if kind == "ogbench":
        with open(path, "wb") as file:
            np.savez(file, **arrays)
        return
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[key] = array


def raw_minari(folder, episodes):
    """Writes ``{episode: {key: array}}`` unchecked, as a Minari folder."""
    (folder / "data").mkdir(parents=True)
    raw_file(
        "minari", folder / "data" / "main_data.hdf5", {f"{e}/{k}": a for e, d in episodes.items() for k, a in d.items()}
    )


def minari_episode(steps=3, size=4, **changes):
    rng = np.random.default_rng(steps)
    return {
        "observations/observation": rng.normal(size=(steps + 1, size)),
        "actions": rng.uniform(size=(steps, 2)),
        "rewards": np.ones(steps),
    } | changes


# ---- round trips


def test_d4rl_round_trip_keeps_every_key(tmp_path):
    arrays = d4rl_arrays()
    data.write_d4rl(tmp_path / "new" / "maze.hdf5", arrays)
    with h5py.File(tmp_path / "new" / "maze.hdf5") as file:
        assert set(file) == {"observations", "actions", "rewards", "terminals", "timeouts", "infos"}
        for key, array in arrays.items():
            np.testing.assert_array_equal(file[key][()], array)
            assert file[key].dtype == (bool if key in ("terminals", "timeouts") else np.float32)
            assert file[key].compression == "gzip"
    read = data.read_d4rl(tmp_path / "new" / "maze.hdf5")
    truth = np.concatenate([arrays["infos/qpos"], arrays["infos/qvel"]], 1)
    assert_same(read, data.Dataset(truth, arrays["actions"], arrays["timeouts"], arrays["rewards"]))


def test_d4rl_infos_win_over_observations_unless_asked(tmp_path):
    path, arrays = tmp_path / "maze.hdf5", d4rl_arrays()
    data.write_d4rl(path, arrays)
    truth = np.concatenate([arrays["infos/qpos"], arrays["infos/qvel"]], 1)
    assert not np.array_equal(truth, arrays["observations"])
    np.testing.assert_array_equal(data.read_d4rl(path).states, truth)
    np.testing.assert_array_equal(data.read_d4rl(path, env_state="observations").states, arrays["observations"])
    with pytest.raises(ValueError, match="Unknown env_state 'info'. Nearest known: infos"):
        data.read_d4rl(path, env_state="info")
    data.write_d4rl(path, {key: array for key, array in arrays.items() if key != "infos/qvel"})
    np.testing.assert_array_equal(data.read_d4rl(path).states, arrays["observations"])


@pytest.mark.parametrize(
    ("terminals", "timeouts", "ends"),
    [((2,), (5,), (2, 5, 8)), ((), (), (8,)), ((), None, (8,)), ((4,), None, (4, 8))],
)
def test_d4rl_ends_are_terminals_or_timeouts_or_the_last_row(tmp_path, terminals, timeouts, ends):
    arrays = d4rl_arrays()
    arrays["terminals"] = np.isin(np.arange(9), terminals)
    del arrays["timeouts"], arrays["rewards"]
    if timeouts is not None:
        arrays["timeouts"] = np.isin(np.arange(9), timeouts)
    data.write_d4rl(tmp_path / "maze.hdf5", arrays)
    read = data.read_d4rl(tmp_path / "maze.hdf5")
    assert tuple(np.flatnonzero(read.ends)) == ends
    assert read.rewards is None


def test_ogbench_round_trip(tmp_path):
    dataset = make_dataset(rewards=False)
    data.write_ogbench(tmp_path / "maze.npz", dataset)
    assert_same(data.read_ogbench(tmp_path / "maze.npz"), dataset)


def test_ogbench_states_are_qpos_and_qvel_where_both_are_there(tmp_path):
    dataset = make_dataset()
    arrays = {"observations": dataset.states[:, :2], "actions": dataset.actions, "terminals": dataset.ends}
    raw_file("ogbench", tmp_path / "a.npz", arrays | {"qpos": dataset.states[:, :2], "qvel": dataset.states[:, 2:]})
    assert_same(data.read_ogbench(tmp_path / "a.npz"), dataset._replace(rewards=None))
    raw_file("ogbench", tmp_path / "b.npz", arrays | {"qpos": dataset.states})
    np.testing.assert_array_equal(data.read_ogbench(tmp_path / "b.npz").states, dataset.states[:, :2])


def test_minari_round_trip_keeps_all_but_the_last_rows_step(tmp_path):
    dataset = make_dataset(lengths=(4, 1, 5))
    data.write_minari(tmp_path / "maze-v0", dataset)
    kept = np.arange(10) != 4  # the episode of one row holds no step
    expected = data.Dataset(*(x[kept].copy() for x in dataset))
    expected.actions[expected.ends] = 0
    expected.rewards[expected.ends] = 0
    assert_same(data.read_minari(tmp_path / "maze-v0"), expected)
    np.testing.assert_array_equal(np.flatnonzero(expected.ends), [3, 8])


def test_minari_reads_plain_and_dict_observations_in_the_order_of_episodes(tmp_path):
    plain = minari_episode(2)
    plain["observations"] = plain.pop("observations/observation")
    del plain["rewards"]
    raw_minari(tmp_path / "a-v0", {"episode_10": plain, "episode_9": minari_episode(3)})
    read = data.read_minari(tmp_path / "a-v0")
    np.testing.assert_array_equal(read.ends, np.isin(np.arange(7), [3, 6]))
    np.testing.assert_array_equal(read.states[4:], plain["observations"].astype(np.float32))
    assert read.rewards is None


def test_minari_reads_what_the_package_does(tmp_path, monkeypatch):
    minari = pytest.importorskip("minari", reason="minari is not installed: pip install invlearn_jax[minari]")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    data.write_minari(tmp_path / "maze-v0", make_dataset(rewards=False))
    theirs = minari.load_dataset("maze-v0")
    assert (theirs.total_episodes, theirs.total_steps) == (2, 7)
    ours = data.read_minari(tmp_path / "maze-v0")
    for episode, start in zip(theirs.iterate_episodes(), (0, 4), strict=True):
        steps = len(episode)
        np.testing.assert_array_equal(episode.observations["observation"], ours.states[start : start + steps + 1])
        np.testing.assert_array_equal(episode.actions, ours.actions[start : start + steps])
        np.testing.assert_array_equal(episode.truncations, np.arange(steps) == steps - 1)
        assert episode.observations["observation"][0] in theirs.observation_space["observation"]
        assert not episode.rewards.any() and not episode.terminations.any()
    monkeypatch.chdir(tmp_path / "maze-v0")
    assert_same(data.read_minari("maze-v0"), ours)
    with pytest.raises(FileNotFoundError, match="minari download other-v0"):
        data.read_minari("other-v0")


def test_minari_id_goes_through_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    episode = minari_episode()
    parts = SimpleNamespace(
        id=0,
        observations={"observation": episode["observations/observation"]},
        actions=episode["actions"],
        rewards=np.ones(3),
    )

    def load_dataset(dataset_id):
        if dataset_id != "maze-v0":
            raise FileNotFoundError("not here")
        return SimpleNamespace(iterate_episodes=lambda: iter([parts]))

    monkeypatch.setitem(sys.modules, "minari", SimpleNamespace(load_dataset=load_dataset))
    read = data.read_minari("maze-v0")
    np.testing.assert_array_equal(read.states, episode["observations/observation"].astype(np.float32))
    np.testing.assert_array_equal(read.rewards, [1, 1, 1, 0])
    with pytest.raises(FileNotFoundError, match=r"'maze-v1' is neither a folder nor.*minari download maze-v1"):
        data.read_minari("maze-v1")
    parts.observations = {"achieved_goal": np.ones((4, 2))}
    with pytest.raises(ValueError, match="no part 'observation', only achieved_goal"):
        data.read_minari("maze-v0")


def test_read_picks_the_reader(tmp_path):
    dataset = make_dataset(rewards=False)
    for name in ("a.hdf5", "a.H5"):
        data.write_d4rl(tmp_path / name, d4rl_arrays())
        assert_same(data.read(tmp_path / name), data.read_d4rl(tmp_path / name))
    data.write_ogbench(tmp_path / "a.npz", dataset)
    assert_same(data.read(str(tmp_path / "a.npz")), dataset)
    data.write_minari(tmp_path / "a-v0", dataset)
    assert_same(data.read(tmp_path / "a-v0"), data.read_minari(tmp_path / "a-v0"))


# ---- bad input


@pytest.mark.parametrize("name", ["a.csv", "folder", "folder.npz"])
def test_read_lists_the_kinds_it_knows(tmp_path, name):
    (tmp_path / "a.csv").write_text("1,2")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ValueError, match=rf"{name}: the kind of data is not known\. Allowed.*\.hdf5.*\.npz.*main_data"):
        data.read(tmp_path / name)


@pytest.mark.parametrize("name", ["a.hdf5", "a.h5", "a.npz", "a", "a-v0"])
def test_missing_files(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=rf"{name}: there is (no such file|nothing here)"):
        data.read(tmp_path / name)


def test_missing_minari_folder_or_data_file(tmp_path):
    for absent in (tmp_path / "none-v0", str(tmp_path / "none-v0")):
        with pytest.raises(FileNotFoundError, match="none-v0: there is no such folder"):
            data.read_minari(absent)
    with pytest.raises(FileNotFoundError, match=r"the folder has no data/main_data\.hdf5"):
        data.read_minari(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no data", "half"])
@pytest.mark.parametrize("kind", ["d4rl", "ogbench", "minari"])
def test_truncated_and_foreign_files(tmp_path, kind, content):
    if kind == "minari":
        data.write_minari(tmp_path, make_dataset())
        path, reader, target = tmp_path / "data" / "main_data.hdf5", data.read_minari, tmp_path
    else:
        path = target = tmp_path / "file"
        raw_file(kind, path, {k: v for k, v in d4rl_arrays().items() if "/" not in k})
        reader = READERS[kind]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(ValueError, match=rf"{path.name}: truncated, or not an"):
        reader(target)


@pytest.mark.parametrize("kind", ["d4rl", "ogbench"])
def test_damage_inside_a_file_names_the_key(tmp_path, kind):
    path = tmp_path / "file"
    arrays = {k: v for k, v in d4rl_arrays().items() if "/" not in k}
    if kind == "d4rl":
        data.write_d4rl(path, arrays)
        with h5py.File(path) as file:
            place = file["actions"].id.get_chunk_info(0).byte_offset
    else:
        raw_file(kind, path, arrays)
        place = path.read_bytes().index(arrays["actions"].tobytes())
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(b"\xff" * 8)
    with pytest.raises(ValueError, match="file: 'actions' is damaged"):
        READERS[kind](path)


@pytest.mark.parametrize("kind", ["d4rl", "ogbench"])
@pytest.mark.parametrize("key", ["observations", "actions"])
def test_missing_key_says_which_exist(tmp_path, kind, key):
    arrays = {k: v for k, v in d4rl_arrays().items() if "/" not in k and k != key}
    raw_file(kind, tmp_path / "file", arrays)
    with pytest.raises(ValueError, match=rf"file: there is no array '{key}'\. The keys are: .*timeouts"):
        READERS[kind](tmp_path / "file")


BAD_ARRAYS = [
    ("actions", np.zeros((8, 2)), "'actions' has 8 rows, 'observations' has 9"),
    ("terminals", np.zeros(10, bool), "'terminals' has 10 rows, 'observations' has 9"),
    ("observations", np.zeros(9), r"'observations' has shape \(9,\); 2 dimensions are needed"),
    ("actions", np.zeros((9, 0)), r"'actions' has shape \(9, 0\); 2 dimensions are needed"),
    ("terminals", np.zeros((9, 1)), r"'terminals' has shape \(9, 1\); 1 dimensions are needed"),
    ("observations", np.float32(1), r"'observations' has shape \(\); 2 dimensions are needed"),
    ("observations", np.zeros((0, 4)), "'observations' has no rows, so there are no episodes"),
    ("observations", np.where(np.arange(36).reshape(9, 4) == 22, np.nan, 0), "'observations' holds NaN.* row 5"),
    ("actions", np.where(np.arange(18).reshape(9, 2) == 3, np.inf, 0), "'actions' holds NaN.* row 1"),
    ("actions", np.full((9, 2), 1e300), "'actions' holds NaN.*too large for float32.* row 0"),
    ("actions", np.full((9, 2), b"x"), r"'actions' (holds \|S1; real numbers|is no plain array of numbers)"),
]


@pytest.mark.parametrize("kind", ["d4rl", "ogbench"])
@pytest.mark.parametrize(("key", "array", "message"), BAD_ARRAYS)
def test_bad_arrays_name_file_key_and_row(tmp_path, kind, key, array, message):
    arrays = {k: v for k, v in d4rl_arrays().items() if "/" not in k} | {key: array}
    raw_file(kind, tmp_path / "bad", arrays)
    with pytest.raises(ValueError, match=f"bad: {message}"):
        READERS[kind](tmp_path / "bad")


@pytest.mark.parametrize(
    ("key", "array", "message"),
    [
        ("infos/qpos", np.full((9, 2), np.nan), "'infos/qpos' holds NaN.* row 0"),
        ("infos/qvel", np.zeros((7, 2)), "'infos/qvel' has 7 rows"),
        ("timeouts", np.zeros(7, bool), "'timeouts' has 7 rows"),
        ("rewards", np.full(9, np.inf), "'rewards' holds NaN.* row 0"),
    ],
)
def test_bad_optional_arrays_of_d4rl(tmp_path, key, array, message):
    arrays = d4rl_arrays() | {key: array}
    raw_file("d4rl", tmp_path / "bad", arrays)
    with pytest.raises(ValueError, match=f"bad: {message}"):
        data.read_d4rl(tmp_path / "bad")
    with pytest.raises(ValueError, match=f"Data for .*new: {message}"):
        data.write_d4rl(tmp_path / "new", arrays)
    assert not (tmp_path / "new").exists()


def test_d4rl_group_in_place_of_an_array_and_many_keys(tmp_path):
    raw_file("d4rl", tmp_path / "a", {f"episode_{i}/actions": np.zeros((2, 2)) for i in range(40)} | {"actions/x": 1})
    with pytest.raises(ValueError, match=r"no array 'observations'.*episode_0/actions.*, \.\.\.\."):
        data.read_d4rl(tmp_path / "a")


def test_write_d4rl_refuses_unknown_and_missing_keys(tmp_path):
    arrays = d4rl_arrays()
    with pytest.raises(ValueError, match="Unknown D4RL key 'observation'. Nearest known: observations"):
        data.write_d4rl(tmp_path / "a", arrays | {"observation": arrays["observations"]})
    del arrays["actions"]
    with pytest.raises(ValueError, match="'actions' is missing; the keys given are: observations, rewards"):
        data.write_d4rl(tmp_path / "a", arrays)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", [data.write_ogbench, data.write_minari])
def test_writers_refuse_bad_datasets(tmp_path, write):
    dataset = make_dataset()
    dataset.states[6, 1] = np.nan
    with pytest.raises(ValueError, match="Data for .*a: 'observations' holds NaN.* row 6"):
        write(tmp_path / "a", dataset)
    with pytest.raises(ValueError, match="'rewards' has 3 rows, 'observations' has 9"):
        write(tmp_path / "a", make_dataset()._replace(rewards=np.zeros(3)))
    assert not list(tmp_path.iterdir())


def test_write_minari_needs_a_step(tmp_path):
    with pytest.raises(ValueError, match="every episode has one row"):
        data.write_minari(tmp_path / "a-v0", make_dataset(lengths=(1, 1)))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (minari_episode(actions=np.zeros((4, 2))), "'episode_1/actions' has 4 rows, 'episode_1/observations' has 4"),
        (minari_episode(rewards=np.zeros(2)), "'episode_1/rewards' has 2 rows"),
        (minari_episode(actions=np.full((3, 2), np.nan)), "'episode_1/actions' holds NaN.* row 0"),
        (minari_episode(actions=np.zeros((0, 2))), "'episode_1/actions' has no rows"),
        (minari_episode(size=5), "'episode_1/observations' has rows of 5 numbers, those before have 4"),
        ({"actions": np.zeros((3, 2))}, r"episode_1: there is no array 'observations'\. The keys are: actions"),
        (
            {"actions": np.zeros((3, 2)), "observations/desired_goal": np.zeros((4, 2))},
            "episode_1: there is no array 'observations/observation'.*observations/desired_goal",
        ),
        ({"observations": np.zeros((4, 4))}, "episode_1: there is no array 'actions'"),
    ],
)
def test_bad_minari_episodes(tmp_path, second, message):
    raw_minari(tmp_path / "a-v0", {"episode_0": minari_episode(), "episode_1": second})
    with pytest.raises(ValueError, match=rf"main_data\.hdf5[:,] {message}"):
        data.read_minari(tmp_path / "a-v0")


def test_minari_without_episodes(tmp_path, monkeypatch):
    raw_minari(tmp_path / "a-v0", {"run": minari_episode()})
    with pytest.raises(ValueError, match="no episodes. Groups episode_0, ... are needed; it has: run"):
        data.read_minari(tmp_path / "a-v0")
    empty = SimpleNamespace(iterate_episodes=lambda: iter([]))
    monkeypatch.setitem(sys.modules, "minari", SimpleNamespace(load_dataset=lambda _: empty))
    with pytest.raises(ValueError, match="'none-v0': no episodes"):
        data.read_minari("none-v0")


def test_absent_packages_name_their_extra(tmp_path, monkeypatch):
    data.write_d4rl(tmp_path / "a.hdf5", d4rl_arrays())
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.setitem(sys.modules, "minari", None)
    for call in (lambda: data.read_d4rl(tmp_path / "a.hdf5"), lambda: data.write_d4rl(tmp_path / "b", d4rl_arrays())):
        with pytest.raises(ImportError, match=r"pip install invlearn_jax\[data\]"):
            call()
    with pytest.raises(ImportError, match=r"'maze-v0' is not a folder.*pip install invlearn_jax\[minari\]"):
        data.read_minari("maze-v0")


def test_ogbench_never_unpickles(tmp_path):
    arrays = {"observations": np.array([{}], object), "actions": np.zeros((1, 2)), "terminals": np.ones(1)}
    raw_file("ogbench", tmp_path / "a.npz", arrays)
    with pytest.raises(ValueError, match="a.npz: 'observations' is no plain array of numbers"):
        data.read_ogbench(tmp_path / "a.npz")
