"""The pulses page's pictures and text, from a record of ``benchmarks.pulses``."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from invlearn_jax.files import replace_files
from invlearn_jax.report.figures import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, canvas, encode, label_points, style

TITLES = {"qubit": "Qubit", "transmon": "Transmon", "two_qubit": "Two qubits"}
_METHODS = {
    "grape": ("GRAPE (ours, L-BFGS)", ORANGE, "s"),
    "newton": ("Gauss-Newton from random pulses (ours)", GREEN, "^"),
    "qutip_grape": ("QuTiP's GRAPE", PURPLE, "D"),
}
_WAYS = {
    "inverter": ("robust Inverter, one pass", BLUE, "o"),
    "refined": ("robust Inverter, refined", GREEN, "^"),
    "grape_mean": ("GRAPE on the mean over errors", ORANGE, "s"),
    "grape_nominal": ("optimised for no error", GREY, "v"),
    "drag": ("DRAG, virtual z", INK, "x"),
}
_FLOOR = 1e-15  # below is rounding


def write_page(paths: Sequence[Path], folder: Path) -> None:
    """Writes ``pulses.md``, ``pulses-race.png`` and, where errors were measured, ``pulses-robust.png``.

    Args:
        paths: files of ``benchmarks.pulses``, which hold a system or several each.
        folder: to write to.

    Raises:
        ValueError: for a system that several files hold.
        OSError: if a file cannot be read or written.
    """
    records = [json.loads(path.read_text()) for path in paths]
    for name in (*TITLES, "robust"):
        holding = [str(path) for path, part in zip(paths, records, strict=True) if name in part]
        if len(holding) > 1:
            raise ValueError(f"{name} is in {' and '.join(holding)}; say which files to take by --input.")
    record = {name: value for part in records for name, value in part.items()}
    record["command"] = "\n".join(part["command"] for part in records)
    files = {folder / "pulses.md": markdown(record).encode()}
    if systems := systems_of(record):
        files[folder / "pulses-race.png"] = draw_race(systems)
    if "robust" in record:
        files[folder / "pulses-robust.png"] = draw_robust(record["robust"])
    replace_files(files)


def systems_of(record: dict[str, Any]) -> dict[str, Any]:
    """The systems that were measured."""
    return {name: record[name] for name in TITLES if name in record}


def draw_race(systems: dict[str, Any]) -> bytes:
    """Infidelity against time per gate: filled at batch 1, open in batches. As PNG."""
    with style():
        figure, axes = canvas(1, len(systems), max(7.2, 0.6 + 4.3 * len(systems)), 5.0)
        for axis, (name, record) in zip(axes.flat, systems.items(), strict=True):
            _draw_inverter(axis, record["steps"])
            for method, (label, color, marker) in _METHODS.items():
                for alone in (True, False):
                    place = [
                        point for goal in ("inverter_median", "1e-10") if (point := _point(record, method, goal, alone))
                    ]
                    if place:
                        look = {"color": color, "marker": marker, "markersize": 6, "linestyle": "-" if alone else ":"}
                        face = color if alone else "white"
                        axis.plot(
                            *zip(*place, strict=True),
                            **look,
                            markerfacecolor=face,
                            lw=1,
                            label=label if alone else None,
                        )
            axis.set(xscale="log", yscale="log", xlabel="time per gate (ms)", title=TITLES[name])
        axes.flat[0].set_ylabel(f"1 - F ({_FLOOR:g} and below at the lower edge)")
        handles: dict[str, Any] = {}
        for axis in axes.flat:
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        names = sorted(handles, key=lambda label: (not label.startswith("Inverter"), list(handles).index(label)))
        figure.legend(
            [handles[name] for name in names],
            names,
            loc="outside lower center",
            ncols=2,
            title="filled: batch 1; open: batched. Bars from the median to 99.9 % of gates; others at their target",
        )
        for axis, record in zip(axes.flat, systems.values(), strict=True):
            _name_steps(axis, record["steps"])
        return encode(figure)[0]


def _draw_inverter(axis: Any, steps: list[dict[str, Any]]) -> None:
    middle = [max(row["infidelity_single"]["median"], _FLOOR) for row in steps]
    above = [max(row["infidelity_single"]["p999"], _FLOOR) - low for row, low in zip(steps, middle, strict=True)]
    alone = [row["ms_per_gate_batch1_p50"] for row in steps]
    together = [row["us_per_gate_batched"] / 1e3 for row in steps]
    for times, filled, dash in ((alone, True, "-"), (together, False, ":")):
        axis.errorbar(
            times,
            middle,
            [[0.0] * len(steps), above],
            color=BLUE,
            marker="o",
            linestyle=dash,
            markersize=6,
            markerfacecolor=BLUE if filled else "white",
            lw=1.4,
            elinewidth=0.8,
            capsize=2,
            label="Inverter, refined K times" if filled else None,
        )


def _name_steps(axis: Any, steps: list[dict[str, Any]]) -> None:
    """Names the Inverter's points at batch 1 by their refinement steps, once all else is drawn."""
    middle, names, named = [max(row["infidelity_single"]["median"], _FLOOR) for row in steps], [], float("inf")
    for row, y in zip(steps, middle, strict=True):
        # Steps that reach rounding lie on one spot or nearly so: one name is enough.
        names.append(f"K={row['refine_steps']}" if y < named / 10 else "")
        named = y if names[-1] else named
    label_points(axis, [row["ms_per_gate_batch1_p50"] for row in steps], middle, names, BLUE, fontsize=8.0)


def _point(record: dict[str, Any], method: str, goal: str, alone: bool) -> tuple[float, float] | None:
    """``(ms, infidelity)``, or nothing where no start arrived or, for QuTiP, there is no batch."""
    row = record[method][goal]
    if alone:
        time = (row.get("ms_per_gate_batch1") or {}).get("p50")
    else:
        time = row["us_per_gate_batched"] / 1e3 if "us_per_gate_batched" in row else None
    return (time, row["target"]) if time else None


def draw_robust(robust: dict[str, Any]) -> bytes:
    """Each gate's infidelity without errors against its worst within them. As PNG."""
    with style():
        figure, axes = canvas(1, 1, 7.2, 5.6)
        axis = axes.flat[0]
        for name, (label, color, marker) in _WAYS.items():
            nominal, worst = zip(*robust["methods"][name]["points"], strict=True)
            # What is rounding is drawn at the left edge.
            axis.plot(
                [max(x, 1e-12) for x in nominal],
                worst,
                marker,
                color=color,
                markersize=3.5,
                alpha=0.55,
                label=label,
                lw=0,
            )
        axis.set(
            xscale="log",
            yscale="log",
            xlabel="1 - F without errors (1e-12 and below at the left edge)",
            ylabel=f"worst 1 - F within ±{robust['detuning_mhz']:g} MHz and ±{100 * robust['amplitude']:g} %",
            title=f"{robust['gate_time_us'] * 1e3:.0f} ns, limit {robust['limit_mhz']:.0f} MHz",
        )
        figure.legend(loc="outside lower center", ncols=2, markerscale=1.8)
        return encode(figure)[0]


def markdown(record: dict[str, Any]) -> str:
    """The whole page."""
    lines = [
        "# Pulses for quantum gates",
        "",
        f"One pass of the Pulse Inverter, its Gauss-Newton refinement, and optimisers from random pulses, on {record['gates']:,} "
        f"fresh gates of the Haar measure per system, on one device ({record['device']}). Infidelities are measured in float64: "
        "`1 - F`, `F = |tr(V' U)|^2 / d^2`, leakage counting as loss. All but QuTiP's make the same limited, smooth pulses; "
        "QuTiP's is free in every slice. QuTiP and our L-BFGS (which is faster in it) work in double precision, the rest in "
        "single where nothing else is said. Times are medians of compiled calls, each waited for; our optimisers stop once they "
        "arrive and start anew where they do not, and in batches run the number of steps that is best per arrival. Made by",
        "",
        "```",
        record["command"],
        "python -m benchmarks.pulses_page",
        "```",
        "",
        "![Infidelity against time per gate](pulses-race.png)",
        "",
    ]
    for name, system in systems_of(record).items():
        lines += [f"## {TITLES[name]}", "", _described(system), "", *_quality(system), "", *_optimisers(system), ""]
        lines += [*_ratios(system["ratios"]), ""]
    if "robust" in record:
        lines += ["## Pulses under errors", "", *_robust(record["robust"]), ""]
    return "\n".join(lines)


def _described(system: dict[str, Any]) -> str:
    found = [system[key]["checks"] for key in ("inverter", "refined")]
    return (
        f"{1e3 * system['gate_time_us']:g} ns in {system['slices']} slices, drives up to {system['limit_mhz']:g} MHz. Their "
        f"largest amplitude was {max(c['amplitude_over_limit'] for c in found):.3f} of the limit, the bandwidth (99.9 % of "
        f"the energy) {max(c['occupied_bandwidth_mhz'] for c in found):.0f} MHz of {found[0]['bandwidth_mhz']:.0f} MHz. SciPy's "
        f"matrix exponentials differ by at most {max(c['scipy_largest_difference'] for c in found):.1e} in `1 - F`."
    )


def _quality(system: dict[str, Any]) -> Iterator[str]:
    yield "| Inverter, K | 1 - F median | 99.9 % | max | ms p50 / p99, batch 1 | μs per gate (batch) |"
    yield "|---|---|---|---|---|---|"
    for row in system["steps"]:
        for kind, of, label in (("", "_single", ""), ("_double", "", ", double precision")):
            numbers = " | ".join(f"{row['infidelity' + of][name]:.1e}" for name in ("median", "p999", "max"))
            times = [row.get(f"ms_per_gate_batch1_{p}{kind}") for p in ("p50", "p99")]
            alone = f"{times[0]:.3g} / {times[1]:.3g}" if times[0] else ""
            together = f"{row['us_per_gate_batched' + kind]:.3g} ({row['batch']})" if times[0] else ""
            yield f"| {row['refine_steps']}{label} | {numbers} | {alone} | {together} |"


def _optimisers(system: dict[str, Any]) -> Iterator[str]:
    yield "| from random pulses | 1 - F | ms per gate, batch 1 | μs per gate (batch) | starts stuck |"
    yield "|---|---|---|---|---|"
    for method, (label, _, _) in _METHODS.items():
        for goal in ("inverter_median", "1e-10"):
            row = system[method][goal]
            alone, together = (_point(system, method, goal, at_once) for at_once in (True, False))
            cells = (
                f"{alone[0]:.3g}" if alone else "none arrived",
                f"{1e3 * together[0]:.3g} ({system[method]['batch']})" if together else "",
                f"{100 * row['stuck_fraction']:.1f} %",
            )
            yield f"| {label} | {row['target']:.1e} | {' | '.join(cells)} |"


def _ratios(ratios: dict[str, float | None]) -> Iterator[str]:
    """Times of the others over ours, to the same infidelity."""
    yield "| how many times faster, to the same infidelity | QuTiP | GRAPE (ours) | Gauss-Newton from random pulses |"
    yield "|---|---|---|---|"
    for key, label in (
        ("inverter", "Inverter, to its own median"),
        ("refined", "refined, 99.9 % of gates to 1e-10"),
    ):
        for batch in ("batch1", "batched"):
            found = [ratios.get(f"{key}_vs_{other}_{batch}") for other in ("qutip", "grape", "newton")]
            if any(found):
                cells = " | ".join(f"{value:,.3g}" if value else "-" for value in found)
                yield f"| {label}, {'batch 1' if batch == 'batch1' else 'batched (QuTiP: one by one)'} | {cells} |"


def _robust(robust: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{robust['gates']:,} gates of {1e3 * robust['gate_time_us']:g} ns, each under {robust['grid'][0]} detunings within "
        f"±{robust['detuning_mhz']:g} MHz and {robust['grid'][1]} amplitudes within ±{100 * robust['amplitude']:g} %. Refined is "
        f"{robust['refine_steps']} steps of L-BFGS on the mean over errors; GRAPE on that mean took "
        f"{robust['grape_mean_steps']} steps from one random pulse. DRAG's last rotation about z is a change of frame and bears "
        "no error, and it uses less of the amplitude."
    )
    yield from ("", "![Infidelity without errors against the worst](pulses-robust.png)", "")
    head = (
        "",
        "without errors, median",
        "mean over errors, median",
        "worst, median",
        "mean",
        "max",
        "worse than the Inverter",
    )
    yield f"| {' | '.join(head)} |"
    yield "|---|---|---|---|---|---|---|"
    for name, (label, _, _) in _WAYS.items():
        row = robust["methods"][name]
        numbers = [
            row["nominal"]["median"],
            row["mean_over_errors"]["median"],
            *(row["worst"][k] for k in ("median", "mean", "max")),
        ]
        beaten = f"{100 * robust['beats'][name]:.1f} %" if name in robust["beats"] else ""
        yield f"| {label} | {' | '.join(f'{v:.1e}' for v in numbers)} | {beaten} |"
