"""Model hacking on narrow data, and what mends it, side by side; and a detector that notices it.

    python -m benchmarks.hacking_mitigations --robot=maze2d --output=benchmarks/results/hacking_mitigations_maze2d.json
    python -m benchmarks.hacking_mitigations --robot=ant --output=benchmarks/results/hacking_mitigations_ant.json

What was trained is kept in the working folder; the same command goes on from there. The committed records are of these commands,
the ant's with the policy of its other results (--policy=FILE).

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

import numpy as np
from absl import flags

from benchmarks.hacking_measures import detection, gap, kinds
from benchmarks.hacking_settings import SETTINGS, Experiment, train_setting
from benchmarks.hacking_worlds import Ant, Maze, World
from invlearn_jax.files import replace_files, write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.names import unknown_name
from invlearn_jax.report.figures import canvas, encode, style
from invlearn_jax.tasks.maze2d.drawing import draw_goal, draw_maze

_ROBOT = flags.DEFINE_enum("robot", None, ["maze2d", "ant"], "Which robot.", required=True)
_POLICY = flags.DEFINE_string("policy", "ant-v1", "The ant's goal-reaching policy, which makes its data.")
_SETTINGS = flags.DEFINE_list("settings", [], "Which settings to train; by default all.")
_ROWS = flags.DEFINE_integer("rows", 100_000, "Rows of narrow data.", lower_bound=1000)
_BROAD = flags.DEFINE_integer("broad_rows", 400_000, "Rows of broad data.", lower_bound=1000)
_MODEL = flags.DEFINE_integer("model_updates", 2000, "Updates of the forward model.", lower_bound=6)
_INVERTER = flags.DEFINE_integer("inverter_updates", 2000, "Updates of the Inverter.", lower_bound=6)
_WATCHER = flags.DEFINE_integer("watcher_updates", 6000, "Updates of the model that watches.", lower_bound=1)
_SEED = define_seed(20261128, "Seed of the judging; training uses others.")
_WORKDIR = flags.DEFINE_string("workdir", "", "Where data and trainings are kept; by default runs/hacking-ROBOT.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "Where to write the record as JSON; a picture goes beside it.", required=True
)


def main(argv: list[str]) -> None:
    """Trains and judges the settings of the flags."""
    use_compile_cache()
    names = _SETTINGS.value or list(SETTINGS)
    for name in names:
        if name not in SETTINGS:
            raise unknown_name("setting", name, SETTINGS)
    workdir = Path(_WORKDIR.value or f"runs/hacking-{_ROBOT.value}")
    policy = _POLICY.value if _ROBOT.value == "ant" else ""
    experiment = Experiment(
        robot=_ROBOT.value,
        rows=_ROWS.value,
        broad_rows=_BROAD.value,
        model=_MODEL.value,
        inverter=_INVERTER.value,
        watcher=_WATCHER.value,
        policy=policy,
    )
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
