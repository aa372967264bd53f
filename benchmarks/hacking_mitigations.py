"""Model hacking on narrow data, and what mends it, side by side; and a detector that notices it.

    python -m benchmarks.hacking_mitigations --robot=maze2d --output=benchmarks/results/hacking_mitigations_maze2d.json
    python -m benchmarks.hacking_mitigations --robot=ant --output=benchmarks/results/hacking_mitigations_ant.json

What was trained is kept in the working folder; the same command goes on from there.

The committed records are of these commands, the ant's with the policy of its other results (--policy=FILE).

Every setting trains a forward model and an Inverter through it, with as many updates in all (half of them in the rounds, where
there are rounds; each member of an ensemble has as many, and a cloned start has some of its own), and is judged in closed
loop (success), and by executing whole plans open loop from states it got to:
the gap is realised less predicted cost, the error the largest distance between predicted and realised positions. A plan with
much of both is hacked: its promise came from the model's error. A plan with little error is good. A second model of other
initial weights, which also learned from executed plans of the finished planner, looks at the plans of every second episode; its
threshold is what, with 95 % confidence if plans were independent, no more than 5 % exceed of the other episodes' good plans, or,
where hardly any is good, of held-out windows of the setting's own data.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from benchmarks.hacking_settings import SETTINGS, Experiment, Trained, train_setting
from benchmarks.hacking_worlds import Ant, Maze, Plans, World
from experiments.figures import canvas, draw_goal, draw_maze, encode, style
from experiments.flag_config import run_program
from invlearn_jax.files import replace_files, write_json
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.names import unknown_name
from invlearn_jax.planners.watched import WatchedParams, WatchedPlanner, calibrate, plans_needed

_ROBOT = flags.DEFINE_enum("robot", None, ["maze2d", "ant"], "Which robot.", required=True)
_POLICY = flags.DEFINE_string("policy", "ant-v1", "The ant's goal-reaching policy, which makes its data.")
_SETTINGS = flags.DEFINE_list("settings", [], "Which settings to train; by default all.")
_ROWS = flags.DEFINE_integer("rows", 100_000, "Rows of narrow data.", lower_bound=1000)
_BROAD = flags.DEFINE_integer("broad_rows", 400_000, "Rows of broad data.", lower_bound=1000)
_MODEL = flags.DEFINE_integer("model_updates", 2000, "Updates of the forward model.", lower_bound=6)
_INVERTER = flags.DEFINE_integer("inverter_updates", 2000, "Updates of the Inverter.", lower_bound=6)
_WATCHER = flags.DEFINE_integer("watcher_updates", 6000, "Updates of the model that watches.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 20261127, "Seed of the judging; training uses others.", lower_bound=0)
_WORKDIR = flags.DEFINE_string("workdir", "", "Where data and trainings are kept; by default runs/hacking-ROBOT.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "Where to write the record as JSON; a picture goes beside it.", required=True
)


def gap(world: World, plans: Plans) -> np.ndarray:
    """``[N]`` realised less predicted cost."""
    cost = jax.jit(jax.vmap(lambda s, a, g: sum(world.objective(world.objective_params, s, a, g).values())))
    realised = cost(jnp.asarray(plans.realised, jnp.float32), plans.out.actions, plans.problems.goal)
    return np.asarray(realised - plans.out.cost)


def kinds(world: World, plans: Plans) -> tuple[np.ndarray, np.ndarray]:
    """Which plans are hacked, and which are good; those that are off without any gain are neither."""
    metres, cost = world.harm
    off = plans.error() > metres
    return off & (gap(world, plans) > cost), ~off


def detection(world: World, trained: Trained, plans: Plans) -> dict:
    """What a second model says of half of the plans; its threshold comes from the good ones of the others, or held-out data."""
    held, tried = plans.episode % 2 == 0, plans.episode % 2 == 1
    watched = WatchedPlanner(trained.planner, world.model)
    params = WatchedParams(trained.params, trained.watcher, jnp.array(jnp.inf))
    apart = jax.jit(jax.vmap(lambda states, actions: watched.disagreement(params, states, actions)))
    predicted = jax.jit(jax.vmap(trained.planner.model.unroll, in_axes=(None, 0, 0)))
    windows = predicted(trained.params.model, trained.starts, trained.actions)
    found, (hacked, good) = np.asarray(apart(plans.out.states, plans.out.actions)), kinds(world, plans)
    enough = (good & held).sum() >= plans_needed()
    threshold = float(calibrate(jnp.asarray(found[good & held]) if enough else apart(windows, trained.actions)))
    flagged, hacked, good = ~(found[tried] <= threshold), hacked[tried], good[tried]
    return {
        "threshold_m": threshold,
        "threshold_from": "good plans" if enough else "held-out data",
        "hacked_plans": int(hacked.sum()),
        "good_plans": int(good.sum()),
        "flagged_of_hacked": float(flagged[hacked].mean()) if hacked.any() else None,
        "false_alarms": float(flagged[good].mean()) if good.any() else None,
    }


def main(argv: list[str]) -> None:
    """Trains and judges the settings of the flags."""
    use_compile_cache()
    names = _SETTINGS.value or list(SETTINGS)
    for name in names:
        if name not in SETTINGS:
            raise unknown_name("setting", name, SETTINGS)
    workdir = Path(_WORKDIR.value or f"runs/hacking-{_ROBOT.value}")
    policy = _POLICY.value if _ROBOT.value == "ant" else ""
    updates = _MODEL.value, _INVERTER.value, _WATCHER.value
    experiment = Experiment(_ROBOT.value, _ROWS.value, _BROAD.value, *updates, policy)
    if _ROBOT.value == "ant":
        world = Ant(workdir / "data", policy, _ROWS.value, _BROAD.value)
    else:
        world = Maze(workdir / "data", _ROWS.value, _BROAD.value)
    rows, tracks = [], {}
    for name in names:
        trained = train_setting(world, experiment, name, workdir, seed=0)
        record, plans, tracks[name] = world.judge(trained.planner, trained.params, _SEED.value)
        gaps, errors = gap(world, plans), plans.error()
        record |= {
            "setting": name,
            "gap_mean": float(gaps.mean()),
            "gap_p99": float(np.percentile(gaps, 99)),
            "error_median_m": float(np.median(errors)),
            "error_p90_m": float(np.percentile(errors, 90)),
            "hacked_share": float(kinds(world, plans)[0].mean()),
            "detector": detection(world, trained, plans),
        }
        rows = sorted([*rows, record], key=lambda row: list(SETTINGS).index(row["setting"]))
        print(record, flush=True)
        written = {"robot": _ROBOT.value, "harm": world.harm, "rows": rows, **manifest(_SEED.value)}
        write_json(_OUTPUT.value, written)
    replace_files({Path(_OUTPUT.value).with_suffix(".png"): picture(world, rows, tracks)})


def picture(world: World, rows: list[dict], tracks: dict[str, list[np.ndarray]]) -> bytes:
    """Where each setting's plans went, as PNG: a panel each."""
    columns = min(3, len(rows))
    with style():
        figure, axes = canvas(-(-len(rows) // columns), columns, 4.2 * columns, 3.6 * -(-len(rows) // columns))
        for place in axes.flat[len(rows) :]:
            place.set_axis_off()
        for place, row in zip(axes.flat, rows, strict=False):
            if isinstance(world, Maze):
                draw_maze(place, world.env.spec.layout)
                draw_goal(place, np.asarray(world.env.goal))
            else:
                place.set_aspect("equal")
                place.set(xlim=(-2, 7), ylim=(-3.5, 3.5), xlabel="towards the goal (m)")
                place.plot([5.0], [0.0], "k*", markersize=9)
            # maze2d is drawn with its rows, which are its x, downwards.
            across, along = (1, 0) if isinstance(world, Maze) else (0, 1)
            for track in tracks[row["setting"]]:
                place.plot(track[:, across], track[:, along], linewidth=0.8, alpha=0.7)
            place.set_title(f"{row['setting']}\n{100 * row['success_rate']:.0f} % arrive", fontsize="small")
        return encode(figure)[0]


if __name__ == "__main__":
    run_program(main)
