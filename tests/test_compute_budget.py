"""The compute budget: arithmetic counted against hand counts, rows as promised, the page made from them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT
from helpers import read_record, run_here, run_python, save_small_planner

from benchmarks import contenders, frontier_page
from invlearn_jax.evaluate.flops import flops
from invlearn_jax.tasks.registry import make_task
from invlearn_jax.types import WarmStarts

FIELDS = {
    "planner", "setting", "env", "device", "plan_ms_p50", "plan_ms_p95", "plan_ms_p99", "plans_per_s", "batch",
    "flops_per_plan", "peak_bytes", "compile_s", "score_mean", "score_sem", "episodes",
}  # fmt: skip


def test_products_are_counted():
    a, b = jnp.ones((7, 5)), jnp.ones((5, 3))
    assert flops(lambda a, b: a @ b, a, b) == 2 * 7 * 5 * 3


def test_every_turn_of_a_scan_is_counted():
    w = jnp.ones((8, 8))

    def inner(x):
        return jax.lax.scan(lambda c, _: (c @ w, None), x, length=3)[0]

    def outer(x):
        return jax.lax.scan(lambda c, _: (jax.jit(inner)(c), None), x, length=10)[0]

    product = 2 * 8**3
    for function, turns in ((inner, 3), (outer, 30), (jax.jit(outer), 30), (lambda x: inner(x) + outer(x), 33)):
        assert turns * product <= flops(function, w) <= 1.1 * turns * product


def test_of_two_branches_the_costlier_is_counted():
    w = jnp.ones((8, 8))

    def turns(x, length):
        return jax.lax.scan(lambda c, _: (c @ w, None), x, length=length)[0]

    found = flops(lambda x: jax.lax.cond(x[0, 0] > 0, lambda x: turns(x, 10), lambda x: turns(x, 4), x), w)
    assert 10 * 2 * 8**3 <= found <= 11 * 2 * 8**3


def test_a_batch_costs_its_size():
    w = jnp.ones((16, 16))

    def function(x):
        return jax.lax.scan(lambda c, _: (w @ c, None), x, length=4)[0]

    np.testing.assert_allclose(
        flops(jax.vmap(function), jnp.ones((6, 16))), 6 * flops(function, jnp.ones(16)), rtol=0.1
    )


def test_what_no_output_needs_is_not_counted():
    w = jnp.ones((32, 32))

    def function(x):
        unused = jax.lax.scan(lambda c, _: (c @ w, None), x, length=50)[0]
        return (x @ w, unused)[0]

    assert flops(function, w) == 2 * 32**3


def row(planner, ms, score, **changes):
    return {
        "planner": planner, "setting": {"refine_steps": ms}, "env": "maze2d-umaze-v1", "device": "cpu", "plan_ms_p50": ms,
        "plan_ms_p95": ms, "plan_ms_p99": ms, "plans_per_s": 1e3 / ms, "batch": 1, "flops_per_plan": 1e6 * ms,
        "flops_per_step": 1e5 * ms, "ms_per_step": ms / 8, "calls": 10, "peak_bytes": 1000, "compile_s": 1.0,
        "score_mean": score, "score_sem": 1.0, "success_rate": 1.0, "episodes": 100,
    } | changes  # fmt: skip


ROWS = [
    row("Inverter", 0.1, 150.0),
    row("Inverter", 2.0, 160.0),
    row("Inverter", 4.0, 155.0),
    row("Modern recipe", 50.0, 141.0),
    row("MPPI, true simulator", 20.0, 120.0),
    row("ReBRAC", 0.05, 100.0),
    row("Diffuser, published size (time only)", 900.0, None, score_sem=None, success_rate=None, episodes=0),
]


def test_planners_look_different():
    names = [
        "Inverter",
        "Diffuser, own actions",
        "Decision Diffuser",
        "Goal-conditioned BC",
        "ReBRAC",
        "Decision Transformer",
    ]
    names += [f"{kind}, {where}" for kind in ("CEM", "MPPI") for where in ("learned model", "true simulator")]
    looks = frontier_page._looks([*names, "a planner of one's own"])
    assert len(set(looks.values())) == len(names) + 1
    # A planner's model is told by the colour.
    assert looks["CEM, learned model"][0] == looks["MPPI, learned model"][0] != looks["CEM, true simulator"][0]


def test_the_best_within_a_budget():
    for budget, wanted in ((0.01, {}), (0.3, {"Inverter": 150, "ReBRAC": 100}), (3, {"Inverter": 160, "ReBRAC": 100})):
        found = frontier_page.at_budget(ROWS, budget)
        assert {name: best["score_mean"] for name, best in found.items()} == wanted
    assert set(frontier_page.at_budget(ROWS, 1e6)) == {r["planner"] for r in ROWS[:-1]}


def test_a_later_file_scores_what_an_earlier_one_timed(tmp_path):
    files = [
        [row("Inverter", 1.0, 150.0), row("CEM", 2.0, None, episodes=0)],
        [row("CEM", 9.0, 90.0), row("Inverter", 9.0, 1.0), row("iLQR", 9.0, 80.0)],
    ]
    files = [[r | {"setting": {}} for r in rows] for rows in files]
    paths = [tmp_path / f"{i}.json" for i in range(2)]
    for path, rows in zip(paths, files, strict=True):
        path.write_text(
            json.dumps({"rows": rows, "command": path.stem, "git_revision": "0" * 40, "device": "two cores"})
        )
    found = {
        r["planner"]: (r["plan_ms_p50"], r["score_mean"], r["episodes"]) for r in frontier_page.joined(paths)["rows"]
    }
    assert found == {"Inverter": (1.0, 150.0, 100), "CEM": (2.0, 90.0, 100), "iLQR": (9.0, 80.0, 100)}


def test_the_page_has_every_row_and_its_pictures(tmp_path):
    source = tmp_path / "rows.json"
    source.write_text(
        json.dumps({"rows": ROWS, "command": "how it was made", "git_revision": "0" * 40, "device": "two cores"})
    )
    done = run_python("-m", "benchmarks.frontier", f"--input={source}", f"--output={tmp_path}", "--readme=")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "frontier.md").read_text()
    assert (tmp_path / "frontier-umaze.png").read_bytes().startswith(b"\x89PNG")
    assert "how it was made" in page and "time only" in page
    assert "| Inverter | 150.0 | 150.0 | 160.0 | 160.0 | 160.0 | 160.0 |" in page
    assert "| Modern recipe | 141.0 / - / - | 136.6 / 150.7 / 203.6 | Diffusion Veteran, table 1 |" in page


@pytest.mark.parametrize("size", ["umaze", "medium", "large"])
def test_all_families_compete(size):
    names = {row.planner for row in contenders.published_contenders(make_task(f"maze2d-{size}-v1"))}
    assert {
        "Inverter",
        "Diffuser, PD controller",
        "Decision Diffuser",
        "Modern recipe",
        "Modern recipe, one-step",
    } <= names
    for method in ("Random shooting", "MPPI", "CEM", "Predictive sampling", "Gradient shooting", "iLQR"):
        assert {f"{method}, learned model", f"{method}, true simulator"} <= names


def test_a_task_without_shipped_planners_has_no_published_record():
    with pytest.raises(ValueError, match="name planners by --planners.*maze2d-open-v0"):
        contenders.published_contenders(make_task("maze2d-open-v0"))


OWN = """
import jax.numpy as jnp
from invlearn_jax import PlanOutput


class Still:
    horizon = execute_steps = 50

    def __init__(self, task):
        self.task = task

    def init(self, key):
        return jnp.zeros(())

    def plan(self, params, key, problem):
        states, zero = jnp.repeat(problem.state[None], 51, axis=0), params * problem.state.sum()
        return PlanOutput(jnp.zeros((50, self.task.action_size)) + zero, states, zero, {}, zero, jnp.zeros(0), jnp.int32(0))


def factory(task):
    return Still(task), jnp.zeros(())


def nothing(task):
    return None
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """An untrained planner of a user's robot, and a file with a planner of the user's own."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(OWN)
    return save_small_planner(folder / "planner", make_task(ROBOT)), folder / "mine.py"


ROBOT = f"{ROOT}/examples/my_robot.py:Reach"


def test_a_users_task_and_planners_compete(own, tmp_path):
    folder, file = own
    output = tmp_path / "rows.json"
    printed = run_here(
        "compute_budget", f"--tasks={ROBOT}", f"--planners={folder},{file}:factory", "--preset=quick", "--episodes=2",
        "--row_seconds=0.1", "--batch=2", f"--output={output}",
    )  # fmt: skip
    rows = read_record(None, output)["rows"]
    mine, theirs = f"{file}:factory", str(folder)
    wanted = [(theirs, 0), (theirs, 10), (f"MPPI, learned model of {folder}", 2), (mine, None)]
    assert [(row["planner"], row["setting"].get("refine_steps")) for row in rows] == wanted
    for row in rows:
        assert FIELDS <= set(row)
        assert row["env"] == "Reach"
        assert 0 < row["plan_ms_p50"] <= row["plan_ms_p99"]
        # Of costs alone, without D4RL's scores.
        assert (row["score_mean"], row["episodes"]) == (None, 2)
        assert row["cost_mean"] > 0 and 0 <= row["success_rate"] <= 1
    assert rows[1]["flops_per_plan"] > 10 * rows[0]["flops_per_plan"] > 0
    assert rows[3]["execute_steps"] == 50
    assert "Reach" in printed and "cost" in printed


def test_the_rest_of_a_shooting_plan_starts_the_next(own):
    task = make_task(ROBOT)
    row = next(row for row in contenders.own_contenders(task, str(own[0])) if row.planner.startswith("MPPI"))
    planner, _ = row.load()
    assert isinstance(planner, WarmStarts)
    actions = jnp.arange(planner.horizon)[:, None] * jnp.ones((1, task.action_size))
    left = planner.next_guess(actions)[:, 0]
    assert left[0] == planner.execute_steps
    assert left[-1] == left[-2] == planner.horizon - 1
    np.testing.assert_allclose(planner.first_guess(), 0.0, atol=1e-7)


def test_physics_without_a_gradient_are_not_refined_by_one(own):
    names = {row.planner for row in contenders.own_contenders(make_task(ROBOT), str(own[0]))}
    assert {"CEM, true simulator", "Random shooting, true simulator"} <= names
    assert not {"iLQR, true simulator", "Gradient shooting, true simulator"} & names


@pytest.mark.parametrize(
    ("planner", "message"),
    [
        ("maze2d-umaze-v1", "maze2d-umaze-v1 plans for none of the tasks Reach"),
        ("no-such-planner", "Unknown planner"),
        ("{file}:other", "has no function other"),
        ("{file}:nothing", r"gave None; let it give \(planner, params\)"),
        ("gone.py:factory", "There is no file"),
    ],
)
def test_a_planner_that_cannot_compete_is_an_error(own, tmp_path, planner, message):
    given = planner.format(file=own[1])
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run_here("compute_budget", f"--tasks={ROBOT}", f"--planners={given}", f"--output={tmp_path / 'f.json'}")


def test_no_such_row_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="No planner's name begins with"):
        run_here("compute_budget", "--tasks=maze2d-umaze-v1", "--only=Nobody", f"--output={tmp_path / 'rows.json'}")


def test_rows_hold_what_is_promised(tmp_path):
    output = tmp_path / "rows.json"
    run_here(
        "compute_budget", "--preset=quick", "--tasks=maze2d-umaze-v1", "--only=Inverter", "--episodes=4",
        "--row_seconds=0.2", "--batch=4", f"--output={output}",
    )  # fmt: skip
    rows = read_record(None, output)["rows"]
    assert [r["planner"] for r in rows] == ["Inverter", "Inverter"]
    for r in rows:
        assert FIELDS <= set(r)
        assert 0 < r["plan_ms_p50"] <= r["plan_ms_p99"] and r["flops_per_plan"] > 1e5 and r["peak_bytes"] > 1e4
    assert rows[1]["flops_per_plan"] > 10 * rows[0]["flops_per_plan"]
    assert rows[0]["score_mean"] > 120
