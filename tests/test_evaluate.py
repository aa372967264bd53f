"""Scores and intervals, the map's bound against simulated runs, model hacking, and the judging of a cost-to-go."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invlearn_jax.data import Dataset
from invlearn_jax.evaluate import metrics
from invlearn_jax.evaluate.episodes import draw_problems
from invlearn_jax.evaluate.model_gap import GapReport, gap_summary
from invlearn_jax.learn.forward_model import prediction_errors
from invlearn_jax.objectives import reach, weighted_sum
from invlearn_jax.planners.planner import InversePlanner
from invlearn_jax.rollout import unroll_steps
from invlearn_jax.tasks import d4rl, layouts
from invlearn_jax.tasks.layouts import parse_layout
from invlearn_jax.tasks.maze2d import controller, cost_to_go, hacking, oracle
from invlearn_jax.tasks.maze2d import specs as maze2d_specs
from invlearn_jax.tasks.maze2d.environment import inside_maze, maze2d_spec
from invlearn_jax.tasks.maze2d.simulator import MujocoMaze2d
from invlearn_jax.tasks.registry import make_task

OPEN, UMAZE = parse_layout(layouts.OPEN), parse_layout(layouts.UMAZE)


def first_inside(spec, start, goal, actions):
    """The first of ``actions [N, T, 2]``'s steps within 0.5 m of the goal, by sequence."""
    simulator = MujocoMaze2d(spec, threads=1)
    states = [np.repeat(np.asarray(start, float)[None], len(actions), axis=0)]
    for step in range(actions.shape[1]):
        states.append(simulator.step(states[-1], actions[:, step]))
    simulator.close()
    return d4rl.steps_to_goal(np.stack(states, axis=1), np.repeat(np.asarray(goal)[None], len(actions), axis=0))


# The map's times.


@pytest.mark.parametrize("goal", [(2.0, 3.0), (1.13, 1.97), (2.817, 4.9)])
@pytest.mark.parametrize("radius", [0.0, 0.5])
def test_times_in_an_open_maze_are_chebyshev_distances(goal, radius):
    points, seconds = oracle.free_space_times(OPEN, np.array(goal), radius=radius)
    expected = oracle.disc_distance(points, np.array(goal), radius) / 5.0
    assert seconds == pytest.approx(expected, abs=1e-9 if radius else 0.05 / 5)
    assert (seconds >= expected - 1e-9).all()
    if radius == 0:
        assert expected == pytest.approx(np.abs(points - goal).max(-1) / 5.0)


def test_disc_distance_is_the_least_over_the_disc():
    angle, share = np.meshgrid(np.linspace(0, 2 * np.pi, 2000), np.linspace(0, 1, 30))
    disc = 0.5 * share[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    for position in np.random.default_rng(0).uniform(-2, 2, size=(20, 2)):
        least = np.abs(disc - position).max(-1).min()
        assert oracle.disc_distance(position, np.zeros(2)) == pytest.approx(least, abs=0.02)


def test_times_go_around_walls():
    points, seconds = oracle.free_space_times(UMAZE, np.array([1.0, 1.0]))
    here = np.linalg.norm(points - (3.0, 1.0), axis=-1).argmin()
    # Around the wall of cell (2, 2), which keeps the ball's centre out of [1.2, 2.4] x [.., 2.4].
    assert seconds[here] > 1.7 / 5.0
    assert seconds[here] == pytest.approx((2 * 1.4 - 0.5 + 1.2 - 0.4) / 5.0, abs=0.2)
    assert inside_maze(UMAZE, points, slack=1e-5).all()
    assert np.isfinite(seconds).all()


def test_geodesic():
    space = oracle.free_space(UMAZE)
    pairs = np.array([[(1.0, 1.0), (1.1, 2.5)], [(1.1, 1.0), (2.5, 1.0)], [(2.5, 1.0), (1.1, 1.0)]])
    lengths = oracle.geodesic(space, pairs[:, 0], pairs[:, 1])
    assert lengths[0] == pytest.approx(1.5)
    assert lengths[1] == pytest.approx(lengths[2])
    assert lengths[1] > 2.8
    assert oracle.geodesic(space, np.zeros((0, 2)), np.zeros((0, 2))).shape == (0,)


def test_walls_that_touch_by_their_corners_keep_the_ball_out():
    pinched = parse_layout(["######", "#GO#O#", "#O#OO#", "#OOO##", "######"])
    first, second = np.array([[1.2, 2.2]]), np.array([[1.5, 2.5]])
    assert oracle.geodesic(oracle.free_space(pinched, 0.1), first, second)[0] > 3.0
    assert oracle.time_bound(pinched, np.array([(1.0, 2.0, 0, 0)]), np.array([(2.0, 3.0)]))[0] > 60


@pytest.mark.parametrize("pitch", [0.0, -0.05, 0.2])
def test_a_bad_pitch_is_refused(pitch):
    with pytest.raises(ValueError, match="pitch is"):
        oracle.free_space(UMAZE, pitch)
    with pytest.raises(ValueError, match="pitch is"):
        oracle.time_bound(UMAZE, np.zeros((1, 4)), np.zeros((1, 2)), pitch=pitch)


def test_a_goal_in_a_wall_is_refused():
    with pytest.raises(ValueError, match="No free position"):
        oracle.free_space_times(UMAZE, np.array([-2.0, 1.0]))


def test_the_maps_cost_to_go_is_the_shortest_time(umaze_task):
    goal = umaze_task.spec.layout.goal
    points, seconds = oracle.free_space_times(UMAZE, goal.astype(float))
    cost = jax.jit(jax.vmap(oracle.MapCost(umaze_task, 0.1), in_axes=(None, 0, None)))
    still = np.concatenate([points, np.zeros_like(points)], axis=1)
    np.testing.assert_allclose(cost((), still, goal), seconds, rtol=0, atol=1e-4)
    moving = still + [0.1, -0.2, -1.0, 2.0]
    np.testing.assert_allclose(cost((), moving, goal), seconds, rtol=0, atol=1e-4)
    # In the wall between the two corridors, each half belongs to its own.
    near, far = np.asarray(cost((), np.array([[1.5, 1.0, 0, 0], [2.1, 1.0, 0, 0]]), goal))
    assert near < 0.1
    assert far > 0.4


# The bound.


def test_no_controller_run_beats_the_bound(umaze):
    starts, goals, _ = draw_problems(make_task("maze2d-umaze-multi-v1"), jax.random.key(3), 24)
    bound = oracle.time_bound(umaze.spec.layout, starts, goals)
    states = controller.controller_states(umaze, starts, goals, jax.random.key(4))
    assert states.shape == (24, umaze.episode_length + 1, 4)
    steps = d4rl.steps_to_goal(states, goals)
    assert np.isfinite(steps).all()
    assert (steps >= bound).all()
    assert ((bound == 0) == (steps == 0)).all()
    returns = d4rl.returns_of(umaze.spec, states, goals)
    assert (returns <= oracle.bound_return(bound, umaze.episode_length)).all()
    dense = d4rl.returns_of(maze2d_specs.spec("maze2d-umaze-dense-v1"), states, goals)
    assert (dense <= oracle.bound_return(bound, umaze.episode_length, "dense")).all()
    assert (dense > 0.5 * oracle.bound_return(bound, umaze.episode_length, "dense")).all()
    again = controller.controller_returns(umaze, starts, goals, jax.random.key(4))
    assert again.tolist() == returns.tolist()


def test_no_random_bang_bang_run_beats_the_bound():
    rng, spec = np.random.default_rng(0), maze2d_specs.spec("maze2d-umaze-v1")
    for start, goal in (
        ((2.0, 3.0, 0, 0), (1.0, 1.8)),
        ((1.6, 3.1, -5, 0), (0.8, 1.8)),
        ((1.3, 2.6, -3, 3), (2.6, 2.9)),
    ):
        bound = oracle.time_bound(UMAZE, np.array([start]), np.array([goal]))[0]
        actions = np.repeat(rng.choice([-1.0, 1.0], size=(1500, 10, 2)), 5, axis=1)
        steps = first_inside(spec, start, goal, actions)
        assert np.isfinite(steps).any()
        assert np.nanmin(steps) >= bound > 1


@pytest.mark.parametrize(("speed", "actions"), [(0.0, (0, 1)), (4.0, (0, 1)), (-2.0, (0, 1)), (0.0, (1, 1))])
def test_full_force_in_the_open_nearly_meets_the_bound(speed, actions):
    spec = maze2d_specs.spec("maze2d-open-v0")
    start, goal = (0.6, 0.6, 0.0, speed), (3.0, 3.0) if actions[0] else (0.6, 4.9)
    bound = oracle.time_bound(OPEN, np.array([start]), np.array([goal]))[0]
    steps = first_inside(spec, start, goal, np.tile(np.array(actions, float), (1, 120, 1)))[0]
    # The allowances are worth about two steps; a start away from the goal is taken for one towards it.
    assert bound <= steps <= bound + (3 if speed >= 0 else 25)


def test_bound_at_and_near_the_disc():
    starts = np.array([(1.0, 1.2, 0, 0), (1.0, 1.5, 0, 0), (1.0, 1.501, 5.0, 5.0)])
    assert oracle.time_bound(UMAZE, starts, np.full((3, 2), 1.0)).tolist() == [0, 0, 1]
    # Reward is paid for the state after each step, so 0 and 1 steps are worth the same.
    assert oracle.bound_return(np.array([0, 1, 2, 300, 301, 400]), 300).tolist() == [300, 300, 299, 1, 0, 0]


def test_the_bound_meets_the_figures_of_d4rls_starts(umaze_task, umaze):
    starts, goals, _ = draw_problems(umaze_task, jax.random.key(0), 200)
    bound = oracle.time_bound(umaze.spec.layout, starts, goals)
    score = d4rl.normalized_score(umaze.spec, oracle.bound_return(bound, umaze.episode_length))
    assert score.mean() == pytest.approx(171, abs=4)


# Scores and intervals.


def test_returns_pay_the_state_after_the_step():
    states = np.zeros((2, 4, 4))
    states[0, :, 0] = (0.0, 0.5, 0.51, 3.0)
    states[1, :, 0] = (9.0, 9.0, 0.2, 0.1)
    goals = np.zeros((2, 2))
    sparse = maze2d_spec(layouts.UMAZE)
    assert d4rl.returns_of(sparse, states, goals).tolist() == [1.0, 2.0]
    dense = d4rl.returns_of(sparse._replace(reward="dense"), states, goals)
    assert dense == pytest.approx(np.exp(-states[:, 1:, 0]).sum(-1))


def test_returns_agree_with_the_environment(umaze):
    state = umaze.reset_to(jnp.array([1.0, 1.45, 0.0, 0.0]), umaze.goal)
    step, states, rewards = jax.jit(umaze.step), [np.asarray(state.obs)], []
    for _ in range(30):
        state = step(state, jnp.array([0.0, 0.4]))
        states.append(np.asarray(state.obs))
        rewards.append(float(state.reward))
    total = d4rl.returns_of(umaze.spec, np.stack(states)[None], np.asarray(umaze.goal)[None])
    assert 0 < sum(rewards) < 30
    assert total.tolist() == [sum(rewards)]


def test_normalized_score():
    spec = maze2d_specs.spec("maze2d-large-v1")
    assert d4rl.normalized_score(spec, np.array([6.7, 273.99, 140.345])) == pytest.approx([0, 100, 50])
    with pytest.raises(ValueError, match="no reference returns"):
        d4rl.normalized_score(maze2d_spec(layouts.UMAZE), np.zeros(1))


def test_steps_to_goal_and_success():
    states = np.full((3, 5, 4), 9.0)
    states[0, 0, :2] = 0.3
    states[1, 3, :2] = (0.3, 0.4)
    goals = np.zeros((3, 2))
    np.testing.assert_array_equal(d4rl.steps_to_goal(states, goals), [0, 3, np.nan])
    assert d4rl.success(states, goals).tolist() == [True, True, False]


def test_mean_ci():
    interval = metrics.mean_ci(np.array([1.0, 2.0, 3.0, 4.0]))
    assert interval.mean == 2.5
    assert interval.sem == pytest.approx(np.sqrt(5 / 3) / 2)
    assert (interval.low, interval.high) == pytest.approx(
        (2.5 - 1.96 * interval.sem, 2.5 + 1.96 * interval.sem), abs=1e-4
    )
    assert metrics.mean_ci(np.ones(1)).sem == np.inf
    with pytest.raises(ValueError, match="No values"):
        metrics.mean_ci(np.zeros(0))


def test_wilson():
    # R: prop.test(x, n, correct = FALSE).
    assert metrics.wilson(0, 10)[2:] == pytest.approx((0.0, 0.27753), abs=1e-5)
    assert metrics.wilson(10, 10)[2:] == pytest.approx((0.72247, 1.0), abs=1e-5)
    assert metrics.wilson(5, 10)[2:] == pytest.approx((0.23659, 0.76341), abs=1e-5)
    assert metrics.wilson(81, 263)[2:] == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert metrics.wilson(5, 10)[:2] == pytest.approx((0.5, np.sqrt(0.025)))
    for successes, trials in ((1, 0), (-1, 3), (4, 3)):
        with pytest.raises(ValueError, match="successes"):
            metrics.wilson(successes, trials)


def test_jerk():
    actions = np.array([[0.0, 0.0], [0.3, 0.4], [0.3, 0.4]])
    assert metrics.jerk(actions, 0.01) == pytest.approx(25.0)
    assert metrics.jerk(np.stack([actions, 2 * actions]), 0.01) == pytest.approx([25.0, 50.0])


# Model hacking.


@pytest.mark.parametrize(
    ("predicted", "realised", "expected"),
    [
        ((1.0, 1.0), (1.1, 2.4), False),  # one corridor
        ((1.1, 2.2), (2.5, 2.2), False),  # a wall between, but the way is no more than twice as far
        ((1.19, 1.0), (2.41, 0.5), True),  # deep in two corridors side by side
        ((1.6, 1.0), (1.19, 1.0), True),  # 0.4 m inside a wall
        ((1.3, 1.0), (1.19, 1.0), False),  # 0.1 m inside a wall: at its surface
        ((1.19, 2.2), (1.19, 2.6), False),  # around no corner at all
        ((-3.0, 1.0), (0.5, 1.0), True),  # out of the maze
        ((np.nan, 1.0), (0.5, 1.0), True),
    ],
)
def test_wrong_side(predicted, realised, expected):
    assert hacking.wrong_side(UMAZE, np.array([predicted]), np.array([realised])).tolist() == [expected]


class FreeFlight:
    """The ball's own motion, as if there were no walls."""

    dt, gradient = 0.01, "reverse"

    def init(self, key):
        return ()

    def unroll(self, params, state, actions):
        def step(_, state, action):
            velocity = jnp.clip(state[2:], -5, 5)
            velocity = velocity + 0.01 * (100 * action - velocity) / (4.1887902 + 0.01)
            return jnp.concatenate([state[:2] + 0.01 * velocity, velocity])

        return unroll_steps(step, params, state, actions)


class Straight:
    """Full force straight at the goal."""

    horizon = 60

    def init(self, key):
        return ()

    def propose(self, params, key, problem, num):
        return jnp.tile(jnp.clip(problem.goal - problem.state[:2], -1, 1), (num, self.horizon, 1))


def test_a_model_without_walls_is_found_out(umaze_task, umaze):
    planner = InversePlanner(Straight(), FreeFlight(), weighted_sum(reach=(2.0, reach(2))))
    params = planner.init(jax.random.key(0))
    report = hacking.hacking_gap(planner, params, umaze_task, jax.random.key(1), 70, batch=32)
    assert all(len(field) == 70 for field in report)
    assert inside_maze(umaze.spec.layout, report.starts[:, :2], slack=1e-3).all()
    assert inside_maze(umaze.spec.layout, report.realised_end, slack=0.1).all()
    cost = 2.0 * ((report.realised_end - report.goals) ** 2).sum(-1)
    assert report.realised_cost == pytest.approx(cost, rel=1e-3, abs=1e-4)
    assert report.gap == pytest.approx(report.realised_cost - report.predicted_cost)
    # Where no wall was met, the model is exact.
    exact = np.linalg.norm(report.predicted_end - report.realised_end, axis=-1) < 1e-3
    assert exact.any()
    assert np.abs(report.gap[exact]).max() < 1e-2
    assert not report.wrong_side[exact & inside_maze(umaze.spec.layout, report.predicted_end, 0.1)].any()
    outside = ~inside_maze(umaze.spec.layout, report.predicted_end, 0.2)
    assert outside.any()
    assert report.wrong_side[outside].all()

    summary = hacking.hacking_summary(report, worst=3)
    assert summary["gap_mean"] == pytest.approx(report.gap.mean())
    assert summary["gap_low"] < summary["gap_mean"] < summary["gap_high"] <= summary["gap_p99"]
    assert summary["wrong_side_rate"] == report.wrong_side.mean()
    assert [row["gap"] for row in summary["worst"]] == sorted(report.gap.tolist(), reverse=True)[:3]
    with pytest.raises(ValueError, match="problems is 0"):
        hacking.hacking_gap(planner, params, umaze_task, jax.random.key(1), 0)


def test_plans_that_cost_a_tenth_more_than_predicted_are_hacked():
    predicted, none = np.full(10, 2.0), np.zeros(0)
    realised = predicted + np.array([0.0, 0.1, 0.5, 3.0, -3.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    found = gap_summary(GapReport(none, predicted, realised, none, none, none))
    assert found["hacked_share"] == 0.2
    assert found["gap_mean"] == pytest.approx(0.06)


# A learned cost-to-go.


def test_false_minima_of_a_hand_made_function():
    space, goal = oracle.free_space(OPEN, 0.1), np.array([1.5, 1.5])
    bowl = np.linalg.norm(space.points - goal, axis=-1)
    assert len(cost_to_go.false_minima(space, bowl, goal)) == 0
    dents = [(2.5, 4.0), (1.0, 4.5), (3.2, 0.4), (1.5, 1.7)]
    nodes = [space.tree.query(dent)[1] for dent in dents]
    dented = bowl.copy()
    dented[nodes] -= 0.5
    # The last dent is within 0.3 m of the goal; the third sits in a corner of the maze.
    assert cost_to_go.false_minima(space, dented, goal).tolist() == sorted(nodes[:3])
    assert len(cost_to_go.false_minima(space, np.zeros(len(bowl)), goal)) == 0


def test_cost_to_go_quality_tells_a_map_from_a_straight_line():
    def straight(params, state, goal):
        return params * jnp.abs(state[:2] - goal).max()

    in_the_open = cost_to_go.cost_to_go_quality(straight, jnp.array(0.2), OPEN, jax.random.key(0), goals=4)
    assert in_the_open["spearman_worst"] > 0.999
    assert in_the_open["mean_abs_error"] < 0.005
    assert in_the_open["false_minima"] == 0
    assert in_the_open["points"] == 49 * 29
    in_the_maze = cost_to_go.cost_to_go_quality(straight, jnp.array(0.2), UMAZE, jax.random.key(0), goals=4)
    assert in_the_maze["spearman"] < 0.99
    assert in_the_maze["mean_abs_error"] > 0.05
    with pytest.raises(ValueError, match="goals is 0"):
        cost_to_go.cost_to_go_quality(straight, jnp.array(0.2), OPEN, jax.random.key(0), goals=0)


# A learned forward model.


class Drifting:
    """Actions are changes of velocity, steps last 0.1 s, and the predicted position drifts off by 5 cm a step."""

    dt, gradient = 0.1, "reverse"

    def init(self, key):
        return jnp.array([0.03, 0.04])

    def unroll(self, params, state, actions):
        def step(drift, state, action):
            velocity = state[2:] + action
            return jnp.concatenate([state[:2] + 0.1 * velocity + drift, velocity])

        return unroll_steps(step, params, state, actions)


def drifting_data(walls):
    """Twenty episodes of the drifting model's own motion without the drift; the first ``walls`` stop dead in step 3."""
    rng = np.random.default_rng(0)
    start = np.concatenate([rng.uniform(0, 3, (20, 2)), rng.uniform(1, 2, (20, 2))], 1)
    actions, states = np.tile([0.1, -0.05], (20, 5, 1)), [start]
    for step in range(4):
        velocity = states[-1][:, 2:] + actions[:, step]
        if step >= 2:
            velocity[:walls] = 0
        states.append(np.concatenate([states[-1][:, :2] + 0.1 * velocity, velocity], 1))
    states = np.stack(states, axis=1).astype(np.float32)
    ends = np.tile(np.arange(5) == 4, 20)
    return Dataset(states.reshape(-1, 4), actions.reshape(-1, 2).astype(np.float32), ends), states


def test_prediction_errors_of_a_model_with_a_known_error():
    model = Drifting()
    dataset, states = drifting_data(walls=1)
    errors = prediction_errors(model, model.init(None), dataset, 4, 2, count=4096)
    assert set(errors) == {"all", "free", "wall", "wall_share"}
    assert errors["free"] == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2], abs=1e-4)
    # Where the ball stopped, the model has it go on for two more steps.
    velocity = states[0, 2, 2:] + [[0.1, -0.05], [0.2, -0.1]]
    passed = np.cumsum(0.1 * velocity, axis=0) + [[0.09, 0.12], [0.12, 0.16]]
    wall = [0.0, 0.05, 0.1, *np.linalg.norm(passed, axis=1)]
    assert errors["wall"] == pytest.approx(wall, abs=1e-4)
    share = errors["wall_share"]
    assert share == pytest.approx(1 / 20, abs=0.015)
    mean = share * np.array(wall) ** 2 + (1 - share) * np.array(errors["free"]) ** 2
    assert errors["all"] == pytest.approx(np.sqrt(mean), abs=1e-4)


def test_prediction_errors_without_walls():
    model = Drifting()
    errors = prediction_errors(model, jnp.zeros(2), drifting_data(walls=0)[0], 4, 2, count=256)
    assert errors["all"] == errors["free"] == pytest.approx([0.0] * 5, abs=1e-5)
    assert errors["wall"] == []
    assert errors["wall_share"] == 0
