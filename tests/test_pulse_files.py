"""Pulses on disk, for QuTiP, and from the command line."""

import csv
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import apart, run_python

from invlearn_jax.tasks.gates.drawing import _path, draw_pulse
from invlearn_jax.tasks.gates.propagators import propagate
from invlearn_jax.tasks.gates.pulse_files import control_names, qutip_evolution, save_pulse
from invlearn_jax.tasks.gates.systems import MHZ, qubit, transmon, two_qubits
from invlearn_jax.types import PlanOutput

# Few slices: QuTiP's solver stops at each.
SYSTEMS = {
    "qubit": qubit(slices=11),
    "transmon": transmon(slices=12, knots=6),
    "two_qubit": two_qubits(limit=40 * MHZ, sections=((12, 6),)),
}
every_system = pytest.mark.parametrize("name", SYSTEMS)


def slices_of(system):
    return np.random.default_rng(0).normal(size=(system.slices, len(system.controls))) * system.limit / 4


@every_system
def test_json_and_csv_hold_the_pulse(tmp_path, name):
    system = SYSTEMS[name]
    slices = slices_of(system)
    save_pulse(tmp_path / "p.json", system, slices, gate="x")
    save_pulse(tmp_path / "p.csv", system, slices, gate="x")
    record = json.loads((tmp_path / "p.json").read_text())
    assert (record["system"], record["gate"], record["gate_time_us"]) == (name, "x", system.gate_time)
    np.testing.assert_array_equal(
        np.transpose([record["amplitude_rad_per_us"][c] for c in control_names(system)]), slices
    )
    rows = list(csv.reader((tmp_path / "p.csv").read_text().splitlines()))
    assert rows[0] == ["begin_us", *(f"{c}_rad_per_us" for c in control_names(system))]
    table = np.array(rows[1:], float)
    np.testing.assert_array_equal(table[:, 1:], slices)
    np.testing.assert_allclose(table[:, 0], record["slice_begins_us"])


def test_what_cannot_be_written(tmp_path):
    system, slices = SYSTEMS["qubit"], slices_of(SYSTEMS["qubit"])
    with pytest.raises(ValueError, match=r"\.json or \.csv"):
        save_pulse(tmp_path / "p.txt", system, slices)
    with pytest.raises(ValueError, match="takes \\(11, 2\\)"):
        save_pulse(tmp_path / "p.json", system, slices[:-1])
    with pytest.raises(ValueError, match="finite"):
        save_pulse(tmp_path / "p.json", system, np.full_like(slices, np.nan))
    assert not list(tmp_path.iterdir())


@every_system
def test_qutip_moves_states_as_we_do(name):
    qutip = pytest.importorskip("qutip")
    system = SYSTEMS[name]
    slices = slices_of(system)
    hamiltonian, times = qutip_evolution(system, slices)
    start = qutip.basis(system.dimension, 0)
    # Steps are not smooth: the solver has to stop at each of them.
    options = {"atol": 1e-10, "rtol": 1e-9, "max_step": system.dt / 4, "nsteps": 100_000}
    theirs = qutip.sesolve(hamiltonian, start, times, options=options).final_state.full()[:, 0]
    ours = np.asarray(jax.jit(lambda u: propagate(system, u))(slices.astype(np.float32)))[:, 0]
    assert abs(np.vdot(theirs, ours)) ** 2 == pytest.approx(1.0, abs=1e-5)


@every_system
def test_pulses_are_drawn(name):
    system = SYSTEMS[name]
    slices, cost = jnp.asarray(slices_of(system)), jnp.array(1e-3)
    plan = PlanOutput(slices, jnp.zeros((1, 1, 1)), cost, {}, cost, jnp.zeros(0), jnp.array(0))
    assert draw_pulse(system, plan, "x").startswith(b"\x89PNG")
    # The path that is drawn ends where the pulse does.
    path = _path(system, np.asarray(slices))
    assert len(path) == 8 * system.slices + 1
    assert apart(path[-1], jax.jit(lambda u: propagate(system, u))(slices)) < 1e-5


def test_the_command_prints_draws_and_writes(tmp_path):
    arguments = ("--gate=axis_angle", "--axis=1,1,0", "--angle=0.7", f"--output={tmp_path}", "--refine_steps=3")
    done = run_python("-m", "experiments.pulse", *arguments)
    assert done.returncode == 0, done.stderr
    assert "1 - F = " in done.stdout
    record = json.loads((tmp_path / "axis_angle.json").read_text())
    assert record["infidelity"] < 1e-9 and record["gate"] == "axis_angle"
    assert (tmp_path / "axis_angle.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "axis_angle.csv").read_text().startswith("begin_us,drive1_x")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gate=axis_angle", "--axis=a,b,c"], "three numbers"),
        (["--gate=x", "--planner=maze2d-umaze-v1"], "no pulses"),
    ],
)
def test_what_the_command_refuses(tmp_path, arguments, words):
    done = run_python("-m", "experiments.pulse", f"--output={tmp_path}", *arguments)
    assert done.returncode != 0
    assert re.search(words, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
