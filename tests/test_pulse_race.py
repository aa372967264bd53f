"""What learns nothing: GRAPE, DRAG; and the race of the Inverter against them."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import run_python

from benchmarks.pulse_figures import write_page
from benchmarks.pulse_measures import exact_infidelity, percentiles
from benchmarks.pulse_record import Preset, Race, records
from invlearn_jax.methods.fitting import method_settings
from invlearn_jax.methods.saved import save_planner
from invlearn_jax.settings import with_settings
from invlearn_jax.tasks.gates import method
from invlearn_jax.tasks.gates.fidelity import infidelity, leakage
from invlearn_jax.tasks.gates.gates import GATES, haar_gates
from invlearn_jax.tasks.gates.grape import RandomPulses, drag_pulse, grape
from invlearn_jax.tasks.gates.planner import gate_problem
from invlearn_jax.tasks.gates.propagators import propagate
from invlearn_jax.tasks.gates.systems import MHZ, qubit, transmon, two_qubits
from invlearn_jax.tasks.registry import make_task

ONE_QUBIT = [name for name, gate in GATES.items() if len(gate) == 2]
SMALL = qubit(slices=11)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def test_grape_arrives_from_several_starts(x64):
    planner, gate = grape(SMALL, steps=40), GATES["hadamard"]
    plan = jax.jit(lambda key: planner.plan(planner.init(key), key, gate_problem(SMALL, gate)))
    found = [plan(key) for key in jax.random.split(jax.random.key(0), 4)]
    for out in found:
        assert out.actions.dtype == np.float64
        assert out.cost <= 1e-10
        assert exact_infidelity(SMALL, np.asarray(out.actions), gate) <= 1.1e-10
    assert np.abs(found[0].actions - found[1].actions).max() > 0.1 * SMALL.limit


def test_more_starts_are_never_worse():
    key, problem = jax.random.key(1), gate_problem(SMALL, GATES["t"])
    proposals = RandomPulses(SMALL).latents((), key, problem, 4)
    assert proposals.shape == (4, SMALL.knots, 2)
    # Without steps: what they do to each start, and that the best is kept, are the refiner's tests.
    costs = []
    for starts in (4, 1):
        planner = grape(SMALL, starts, 0)
        costs.append(jax.jit(planner.plan)(planner.init(key), key, problem).cost)
    assert costs[0] <= costs[1] + 1e-6


def test_random_pulses_of_no_scale_are_refused():
    with pytest.raises(ValueError, match="scale of random pulses is 0"):
        RandomPulses(qubit(), 0.0)


@functools.cache
def drag_of(slices, levels):
    """The system, and its jitted DRAG pulses."""
    system = qubit(slices=slices) if levels == 2 else transmon(slices=slices)
    return system, jax.jit(lambda gate: drag_pulse(system, gate))


def framed(system, drag, gate):
    """A DRAG pulse's slices, and what is left of the gate before its last rotation about z."""
    slices, angle = drag(jnp.asarray(gate))
    return slices, np.exp(0.5j * float(angle) * np.array([1, -1]))[:, None] * gate


@pytest.mark.parametrize("name", ONE_QUBIT)
def test_drag_makes_the_named_gates(name):
    system, drag = drag_of(22, 2)
    slices, wanted = framed(system, drag, GATES[name])
    assert slices.shape == (system.slices, 2)
    assert np.linalg.norm(slices, axis=1).max() <= system.limit
    assert exact_infidelity(system, np.asarray(slices), wanted) < 1e-6


@pytest.mark.parametrize("slices", [21, 22])
def test_drag_makes_any_gate_also_in_odd_slices(slices):
    system, drag = drag_of(slices, 2)
    for gate in np.asarray(haar_gates(jax.random.key(2), 5, 2)):
        pulse, wanted = framed(system, drag, gate)
        assert exact_infidelity(system, np.asarray(pulse), wanted) < 1e-5


def test_drag_keeps_a_third_level_empty(x64):
    system, drag = drag_of(60, 3)
    pulse, wanted = framed(system, drag, GATES["hadamard"])
    unitary_of = jax.jit(lambda slices: propagate(system, slices))
    unitary = unitary_of(pulse)
    assert infidelity(system, unitary, jnp.asarray(wanted)) < 2e-3
    # A real envelope turned by each half's phase is what DRAG corrects.
    half = system.slices // 2
    envelope = 1 - np.cos(2 * np.pi * (np.arange(half) + 0.5) / half)
    shape = np.tile(envelope * np.pi / 2 / (system.dt * envelope.sum()), 2)
    plain = unitary_of(np.stack([shape, 0 * shape], axis=1))
    assert leakage(system, unitary) < 0.01 * leakage(system, plain)


def test_drag_says_what_it_cannot_make():
    with pytest.raises(ValueError, match="one qubit with one drive"):
        drag_pulse(two_qubits(), jnp.eye(2, dtype=complex))
    with pytest.raises(ValueError, match="Give more time"):
        drag_pulse(qubit(0.1, 14 * MHZ, knots=8)._replace(limit=5 * MHZ), jnp.eye(2, dtype=complex))


def test_the_exact_check_is_independent_of_the_library():
    system, rng = transmon(slices=12, knots=6), np.random.default_rng(0)
    slices = system.limit * rng.uniform(-0.5, 0.5, (system.slices, 2))
    unitary = jax.jit(lambda u: propagate(system, u))(slices.astype(np.float32))
    own = float(infidelity(system, unitary, jnp.asarray(GATES["x"], jnp.complex64)))
    assert own == pytest.approx(exact_infidelity(system, slices, GATES["x"]), abs=1e-4)
    assert percentiles(np.arange(1001.0)) == {"median": 500.0, "p999": 999.0, "max": 1000.0}


def save_small(folder, name, slices):
    """A planner as drawn, of few slices."""
    task = make_task(f"gate-{name}")
    task.settings = with_settings(task.settings, {"slices": (slices,)})
    settings = with_settings(method_settings(task, "inverter"), {"hidden": (8,)})
    params = jax.jit(method.build(task, settings).init)(jax.random.key(0))
    save_planner(folder / f"pulse-{name}" / "planner", task, "inverter", settings, params)


@pytest.fixture(scope="module")
def small_race(tmp_path_factory):
    """Both parts of the record, in a few gates, of planners in a folder of runs."""
    pytest.importorskip("qutip_qtrl")
    folder = tmp_path_factory.mktemp("planners")
    save_small(folder, "qubit", 11)
    save_small(folder, "qubit-robust", 15)
    preset = Preset(batch=8, calls=10, single=3, qutip_gates=1, robust_gates=6, mean_steps=20)
    *_, record = records(("qubit", "robust"), preset, str(folder), 3, 8, {"qubit": Race("pulse-qubit", 1, 8, 1)})
    return record


def test_a_small_race_has_the_promised_fields(small_race):
    assert {"command", "git_revision", "versions", "device", "seed", "date"} <= set(small_race)
    assert {"qutip", "qutip-qtrl"} <= set(small_race["versions"])
    system = small_race["qubit"]
    for row in (system["inverter"], system["refined"]):
        assert set(row["infidelity"]) == set(row["infidelity_single"]) == {"median", "p999", "max"}
        assert row["us_per_gate_batched"] > 0
        for kind in ("", "_double"):
            assert 0 < row[f"ms_per_gate_batch1_p50{kind}"] <= row[f"ms_per_gate_batch1_p99{kind}"]
        assert row["checks"]["scipy_largest_difference"] < 1e-12
        assert row["checks"]["amplitude_over_limit"] <= 1
    assert [row["refine_steps"] for row in system["steps"]] == [0, 1]
    assert system["slices"] == 11
    assert system["grape"]["1e-10"]["stuck_fraction"] < 0.2
    assert system["newton"]["1e-10"]["ms_per_gate_batch1"]["p50"] > 0
    assert system["qutip_grape"]["1e-10"]["infidelity"]["max"] <= 1.01e-10
    for name in ("inverter", "refined", "grape", "newton", "qutip_grape"):
        assert 0 <= system[name]["median"] <= system[name]["p999"] <= system[name]["max"]
        assert system[name]["ms_per_gate_batch1_p50"] > 0
    assert system["ratios"]["inverter_vs_qutip_batch1"] > 0


def test_pulses_under_errors_are_compared(small_race):
    robust = small_race["robust"]
    assert set(robust["methods"]) == {"inverter", "refined", "grape_nominal", "grape_mean", "drag"}
    assert (robust["detuning_mhz"], robust["amplitude"]) == (5.0, 0.05)
    assert robust["methods"]["grape_nominal"]["nominal"]["median"] < 1e-10
    assert robust["methods"]["grape_mean"]["worst"]["median"] < robust["methods"]["grape_nominal"]["worst"]["median"]


def hand_made():
    """A record of invented numbers, with a method that never arrived."""
    steps = [
        {
            "refine_steps": k,
            **{
                kind: {"median": 10.0 ** (-5 - 4 * k), "p999": 10.0 ** (-3 - 3 * k), "max": 10.0 ** (-2 - 3 * k)}
                for kind in ("infidelity", "infidelity_single")
            },
            "ms_per_gate_batch1_p50": 0.1 * (k + 1),
            "ms_per_gate_batch1_p99": 0.2 * (k + 1),
            "us_per_gate_batched": 3.0 * (10 * k + 1),
            "batch": 4096,
        }
        for k in range(4)
    ]
    checks = {
        "amplitude_over_limit": 0.98765,
        "occupied_bandwidth_mhz": 60.0,
        "bandwidth_mhz": 110.0,
        "scipy_largest_difference": 2e-15,
    }
    arrived = {
        "target": 1e-10,
        "stuck_fraction": 0.025,
        "ms_per_gate_batch1": {"p50": 4.0},
        "us_per_gate_batched": 900.0,
    }
    ours = {"batch": 4096, "inverter_median": arrived | {"target": 1e-5}, "1e-10": arrived}
    qutip = {"target": 1e-10, "stuck_fraction": 0.0, "ms_per_gate_batch1": {"p50": 33.0}}
    system = {
        "gate_time_us": 0.1,
        "slices": 22,
        "limit_mhz": 20.0,
        "steps": steps,
        "inverter": {"checks": checks},
        "refined": {"checks": checks},
        "grape": ours | {"1e-10": {"target": 1e-10, "stuck_fraction": 1.0}},
        "newton": ours,
        "qutip_grape": {"inverter_median": qutip | {"target": 1e-5}, "1e-10": qutip},
        "ratios": {"inverter_vs_qutip_batch1": 330.0, "inverter_vs_grape_batch1": None},
    }
    spread = {"median": 1e-4, "mean": 2e-4, "max": 3e-4}
    way = {"nominal": spread, "mean_over_errors": spread, "worst": spread, "points": [[1e-30, 1e-3], [1e-5, 2e-3]]}
    names = ("inverter", "refined", "grape_nominal", "grape_mean", "drag")
    robust = {
        "gates": 2,
        "grid": [11, 7],
        "detuning_mhz": 5.0,
        "amplitude": 0.05,
        "gate_time_us": 0.1,
        "limit_mhz": 50.0,
        "refine_steps": 10,
        "grape_mean_steps": 100,
        "methods": dict.fromkeys(names, way),
        "beats": dict.fromkeys(names[1:], 0.5),
    }
    return {
        "gates": 10_000,
        "device": "a device",
        "command": "made by hand",
        "qubit": system,
        "robust": robust,
    }


@pytest.mark.parametrize("with_errors", [True, False])
def test_the_page_of_a_record(tmp_path, with_errors):
    record = hand_made()
    if not with_errors:
        del record["robust"]
    (tmp_path / "pulses.json").write_text(json.dumps(record))
    write_page([tmp_path / "pulses.json"], tmp_path)
    page = (tmp_path / "pulses.md").read_text()
    assert "made by hand" in page
    assert "none arrived" in page
    assert "0.988 of the limit" in page
    assert "| 2 | 1.0e-13 | 1.0e-09 | 1.0e-08 |" in page
    assert "| Inverter, to its own median, batch 1 | 330 | - | - |" in page
    pictures = {path.name for path in tmp_path.glob("*.png")}
    assert pictures == {"pulses-race.png"} | ({"pulses-robust.png"} if with_errors else set())
    assert ("Pulses under errors" in page) == with_errors


def test_a_system_in_two_files_is_refused(tmp_path):
    """By the program too, in a sentence."""
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    for file in files:
        file.write_text(json.dumps(hand_made()))
    done = run_python("-m", "benchmarks.pulses_page", f"--input={files[0]},{files[1]}", f"--output={tmp_path}")
    assert done.returncode != 0
    assert "error: qubit is in" in done.stderr
    assert not (tmp_path / "pulses.md").exists()


def test_an_unknown_system_is_refused(tmp_path):
    output = tmp_path / "race.json"
    done = run_python("-m", "benchmarks.pulses", "--systems=quibt", f"--output={output}")
    assert done.returncode != 0
    assert "error: Unknown system 'quibt'. Nearest known: qubit" in done.stderr
    assert not output.exists()
