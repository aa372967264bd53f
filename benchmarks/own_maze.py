"""Planners of mazes of a user's own, drawn by a seed, trained with default settings.

    python -m experiments.run --task="$(python -m benchmarks.own_maze --maze=101)" --method=inverter --workdir=runs/own-101
    python -m benchmarks.own_maze --run=runs/own-101 --episodes=500 --output=benchmarks/results/own_maze.json

The first program prints a maze. The second adds a run's records to a file: its own goal and random ones, by one pass and refined.
"""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from invlearn_jax.evaluate.episodes import evaluate_episodes, summary
from invlearn_jax.files import read_json, write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.methods.saved import load_planner, load_task
from invlearn_jax.tasks.maze2d.oracle import time_bound
from invlearn_jax.tasks.maze2d.task import Maze2dTask

_MAZE = flags.DEFINE_integer("maze", None, "Print the maze of this seed, as a task's name.")
_RUN = flags.DEFINE_string("run", None, "The folder of a finished run.")
_EPISODES = flags.DEFINE_integer("episodes", 500, "Episodes for each record.", lower_bound=2)
_SEED = define_seed(20_261_202, "Seed of starts, goals and planning.")
_STEPS = flags.DEFINE_multi_integer("refine_steps", [0, 10], "Numbers of refinement steps.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to add the records, as JSON.")
_PICTURE = flags.DEFINE_string("picture", None, "Where to draw episodes with random goals, if anywhere.")
_DRAWN = 8


def random_maze(seed: int, size: int = 15, opened: float = 0.1) -> str:
    """A maze with a few loops: a recursive backtracker's, and a share of the walls left between its rooms taken out.

    Args:
        seed: of the maze.
        size: rows and columns, odd; every second cell of them is a room.
        opened: share of the walls between two rooms, of those that the backtracker left, that are taken out.

    Returns:
        Its rows joined by ``/``, as a task's name; the goal is in a random room.

    Raises:
        ValueError: for an even size, or one below 5.
    """
    if size < 5 or size % 2 == 0:
        raise ValueError(f"size is {size}; give an odd number of at least 5.")
    rng, rooms = np.random.default_rng(seed), size // 2
    grid = np.full((size, size), "#")

    def beside(room: tuple[int, int]) -> list[tuple[int, int]]:
        near = [(room[0] + i, room[1] + j) for i, j in ((0, 1), (1, 0), (0, -1), (-1, 0))]
        return [other for other in near if min(other) >= 0 and max(other) < rooms]

    def between(room: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
        return room[0] + other[0] + 1, room[1] + other[1] + 1

    way = [(0, 0)]
    seen = set(way)
    while way:
        fresh = [other for other in beside(way[-1]) if other not in seen]
        if not fresh:
            way.pop()
            continue
        following = fresh[rng.integers(len(fresh))]
        grid[between(way[-1], following)] = "O"
        seen.add(following)
        way.append(following)
    grid[1::2, 1::2] = "O"
    left = [
        wall
        for room in sorted(seen)
        for other in beside(room)
        if room < other and grid[wall := between(room, other)] == "#"
    ]
    for chosen in rng.permutation(len(left))[: round(opened * len(left))]:
        grid[left[chosen]] = "O"
    goal = rng.integers(rooms, size=2)
    grid[tuple(2 * goal + 1)] = "G"
    return "/".join("".join(row) for row in grid)


def records(folder: Path, episodes: int, seed: int, steps: list[int]) -> list[dict[str, Any]]:
    """A run's planner on the maze's own goal and on random ones, with each number of refinement steps.

    Raises:
        ValueError: for a run that is of no maze2d, or not done.
    """
    planner_folder = folder / "planner"
    own, status, begun = (
        load_task(planner_folder),
        read_json(folder / "status.json"),
        read_json(folder / "manifest.json"),
    )
    if not isinstance(own, Maze2dTask) or status["state"] != "done":
        raise ValueError(f"{folder} is a run of {own.name} and {status['state']}; give a finished run of a maze2d.")
    training = {"command": begun["command"], "git_revision": begun["git_revision"], "seconds": status["seconds"]}
    rows = []
    for multi_goal in (False, True):
        task = Maze2dTask(own.spec, multi_goal)
        task.settings = own.settings
        for count in steps:
            planner, params = load_planner(planner_folder, refine_steps=count, task=task)
            record, driven = evaluate_episodes(planner, params, task, episodes, seed)
            shortest = time_bound(own.spec.layout, driven.states[:, 0], driven.goals)
            print(summary(record), flush=True)
            maze = {"maze": own.spec.layout.rows, "episode_length": task.episode_length, "training": training}
            rows.append(maze | {"steps_of_the_bound_mean": float(shortest.mean())} | record)
    if _PICTURE.value:
        _draw(task, driven)
    return rows


def _draw(task: Maze2dTask, driven: Any) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(6.4, 6.4), layout="constrained")
    task.draw(axes, jax.tree.map(lambda x: x[:_DRAWN], driven))
    figure.savefig(_PICTURE.value, dpi=130)
    plt.close(figure)


def main(argv: list[str]) -> None:
    """Prints a maze, or adds a run's records to a file.

    Raises:
        ValueError: unless there is a maze to print, or a run and a file for its records.
    """
    if _MAZE.value is not None:
        print(random_maze(_MAZE.value))
        return
    if not _RUN.value or not _OUTPUT.value:
        raise ValueError("Give --maze, or --run and --output.")
    use_compile_cache()
    output, found = Path(_OUTPUT.value), records(Path(_RUN.value), _EPISODES.value, _SEED.value, _STEPS.value)
    before = json.loads(output.read_text()) if output.exists() else []
    kept = [row for row in before if row["task"] != found[0]["task"]]
    write_json(output, kept + found)


if __name__ == "__main__":
    run_program(main)
