"""D4RL's tables of maze2d and antmaze, starts and goals of antmaze, mazes of one's own."""

import inspect

import jax
import numpy as np
import pytest

from invlearn_jax.tasks import layouts
from invlearn_jax.tasks.antmaze import model as ant
from invlearn_jax.tasks.antmaze import specs as antmazes
from invlearn_jax.tasks.antmaze.environment import antmaze_spec
from invlearn_jax.tasks.d4rl import normalized_score
from invlearn_jax.tasks.maze2d import specs as mazes
from invlearn_jax.tasks.maze2d.environment import Maze2d, maze2d_spec
from invlearn_jax.tasks.maze2d.simulator import MujocoMaze2d
from invlearn_jax.tasks.registry import make_task

# id: steps, reference return of a random policy and of D4RL's controller (d4rl/pointmaze/__init__.py, d4rl/infos.py).
MAZE2D = {
    "maze2d-open-v0": (150, 0.01, 20.66),
    "maze2d-open-dense-v0": (150, 11.17817, 27.166538620695782),
    "maze2d-umaze-v1": (300, 23.85, 161.86),
    "maze2d-umaze-dense-v1": (300, 68.537689, 193.66285642381482),
    "maze2d-medium-v1": (600, 13.13, 277.39),
    "maze2d-medium-dense-v1": (600, 44.264742, 297.4552547777125),
    "maze2d-large-v1": (800, 6.7, 273.99),
    "maze2d-large-dense-v1": (800, 30.569041, 303.4857382709002),
    "maze2d-eval-umaze-v1": (300, 36.63, 141.4),
    "maze2d-eval-umaze-dense-v1": (300, 56.95455, 178.21373133248397),
    "maze2d-eval-medium-v1": (600, 13.07, 204.93),
    "maze2d-eval-medium-dense-v1": (600, 42.28578, 235.5658957482388),
    "maze2d-eval-large-v1": (800, 16.4, 302.22),
    "maze2d-eval-large-dense-v1": (800, 56.95455, 326.09647655082637),
}

MAZE2D_GOALS = {
    "open": (2, 3),
    "umaze": (1, 1),
    "medium": (6, 6),
    "large": (7, 9),
    "eval-umaze": (1, 3),
    "eval-medium": (1, 6),
    "eval-large": (1, 9),
}

# id stem: steps, goal cell, what the goals' x and y lie between (m).
ANTMAZE = {
    "umaze": (700, (3, 1), (0, 1.5), (8, 9.5)),
    "umaze-diverse": (700, (3, 1), (0, 1.5), (8, 9.5)),
    "medium-play": (1000, (6, 6), (20, 21.5), (20, 21.5)),
    "medium-diverse": (1000, (6, 6), (20, 21.5), (20, 21.5)),
    "large-play": (1000, (7, 9), (32, 33.5), (24, 25.5)),
    "large-diverse": (1000, (7, 9), (32, 33.5), (24, 25.5)),
}


def test_the_registry_holds_d4rls_maze2d():
    assert mazes.SPECS.keys() == MAZE2D.keys()


@pytest.mark.parametrize("name", MAZE2D)
def test_maze2d_environments_match_d4rls_table(name):
    spec = mazes.spec(name)
    assert (spec.name, spec.episode_length, spec.ref_min, spec.ref_max) == (name, *MAZE2D[name])
    assert spec.reward == ("dense" if "dense" in name else "sparse")
    stem = name.removeprefix("maze2d-").replace("-dense", "").rsplit("-", 1)[0]
    assert tuple(spec.layout.goal) == MAZE2D_GOALS[stem]


def test_an_unknown_name_tells_the_nearest():
    with pytest.raises(ValueError, match=r"'maze2d-umaze-v2'.*Nearest known: .*maze2d-umaze-v1"):
        make_task("maze2d-umaze-v2")
    with pytest.raises(ValueError, match=r"Unknown maze2d 'zzz'\. Known: .*maze2d-large-v1"):
        mazes.spec("zzz")
    with pytest.raises(ValueError, match=r"Unknown antmaze 'antmaze-umaze-play-v2'.*Nearest known: .*antmaze-umaze"):
        antmazes.spec("antmaze-umaze-play-v2")


def test_a_maze_by_its_rows():
    spec = mazes.spec("#####/#OOG#/#####")
    assert tuple(spec.layout.goal) == (1, 3)
    assert normalized_score(spec, 150.0) == pytest.approx(25.0)  # a quarter of 600 steps at the goal
    with pytest.raises(ValueError, match="row"):
        mazes.spec("#####/#OG#/#####")


def test_a_custom_maze2d():
    rows = ("#####", "#OOG#", "#####")
    env = Maze2d(maze2d_spec(rows, name="corridor", episode_length=50, reward="dense"))
    assert (env.spec.name, env.episode_length, env.spec.ref_min, env.spec.ref_max) == ("corridor", 50, None, None)
    state = jax.jit(env.reset)(jax.random.key(0))
    assert tuple(np.rint(state.obs[:2]).astype(int)) in {(1, 1), (1, 2), (1, 3)}
    assert float(state.reward) == pytest.approx(np.exp(-np.linalg.norm(state.obs[:2] - env.goal)), rel=1e-6)
    simulator = MujocoMaze2d(env.spec)
    rest = np.tile([1.0, 2.0, 0, 0], (4, 1))
    for _ in range(300):
        rest = simulator.step(rest, np.array([[0.0, 1.0], [0.0, -1.0], [1.0, 0.0], [-1.0, 0.0]]))
    simulator.close()
    np.testing.assert_allclose(rest[:, :2], [[1, 3.19863], [1, 0.40137], [1.19863, 2], [0.40137, 2]], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": ("###", "#O#", "###")}, "0 goal cells"),
        ({"rows": layouts.UMAZE, "episode_length": 0}, "episode_length is 0; give at least 1"),
        ({"rows": layouts.UMAZE, "reward": "sparce"}, "reward is 'sparce'; allowed are 'sparse' and 'dense'"),
    ],
)
def test_bad_custom_mazes_raise(arguments, message):
    # Unwrapped: the tests' type checker would catch a wrong literal before the function's own message.
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(maze2d_spec)(**arguments)


@pytest.mark.parametrize("stem", ANTMAZE)
def test_antmaze_environments_match_d4rls_table(stem):
    steps, goal, *_ = ANTMAZE[stem]
    spec = antmazes.spec(f"antmaze-{stem}-v2")
    assert (spec.name, spec.episode_length, spec.ref_min, spec.ref_max) == (f"antmaze-{stem}-v2", steps, 0, 1)
    assert tuple(spec.layout.goal) == goal
    assert tuple(spec.layout.free[0]) == (1, 1)
    maze = mazes.spec(f"maze2d-{stem.split('-')[0]}-v1").layout
    np.testing.assert_array_equal(spec.layout.walls, maze.walls)


def test_the_registry_holds_d4rls_antmazes():
    assert antmazes.SPECS.keys() == {f"antmaze-{stem}-v2" for stem in ANTMAZE}


def test_a_custom_antmaze():
    spec = antmaze_spec(("#####", "###G#", "#OOO#", "#####"), "corner", 50)
    assert (spec.name, spec.episode_length) == ("corner", 50)
    # The ant starts in the first free cell, wherever that is.
    np.testing.assert_array_equal(ant.cell_centre(spec.layout, spec.layout.free), [[0, 0], [-8, 4], [-4, 4], [0, 4]])
    with pytest.raises(ValueError, match="episode_length is 0"):
        antmaze_spec(("####", "#OG#", "####"), episode_length=0)
    with pytest.raises(ValueError, match="0 goal cells"):
        antmaze_spec(("####", "#OO#", "####"))


@pytest.mark.parametrize("stem", ["umaze", "medium-play", "large-diverse"])
def test_starts_and_goals_are_drawn_as_in_d4rl(stem):
    *_, low_high_x, low_high_y = ANTMAZE[stem]
    env = make_task(f"antmaze-{stem}-v2").environment
    state = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 4000))
    obs, goals = np.asarray(state.obs), np.asarray(state.info["goal"])
    np.testing.assert_allclose(np.linalg.norm(obs[:, 3:7], axis=1), 1.0, atol=1e-6)
    middle = np.array([0, 0, 0.75, 0, 0, 0, 0, *[0] * 8])
    off = (obs[:, :15] - middle)[:, [0, 1, 2, *range(7, 15)]]
    assert -0.1 <= off.min() < -0.099
    assert 0.099 < off.max() <= 0.1
    assert (np.abs(obs[:, 4:7]) < 0.12).all()
    np.testing.assert_allclose(obs[:, 15:].std(0), 0.1, rtol=0.06)
    for axis, (low, high) in enumerate((low_high_x, low_high_y)):
        assert low < goals[:, axis].min() < low + 0.1
        assert high - 0.1 < goals[:, axis].max() < high
        # The sum of U(0, 1) and U(0, 0.5).
        assert goals[:, axis].mean() == pytest.approx((low + high) / 2, abs=0.02)
        assert goals[:, axis].var() == pytest.approx((1 + 0.25) / 12, rel=0.05)
    np.testing.assert_allclose(env.goal, [sum(low_high_x) / 2, sum(low_high_y) / 2], atol=1e-5)
    assert not np.asarray(state.done).any()
