"""Model hacking on narrow data, and what mends it, side by side; and a detector that notices it.

    python -m benchmarks.hacking_mitigations --robot=maze2d --output=benchmarks/results/hacking_mitigations_maze2d.json
    python -m benchmarks.hacking_mitigations --robot=ant --policy=ant_goal_policy.npz --output=...ant.json

Every setting trains a forward model and an Inverter through it, each with as many updates in all (half of them in the rounds,
where there are rounds), and is judged in closed loop (success), and by executing whole plans open loop from states it got to:
the gap is realised less predicted cost, the error the largest distance between predicted and realised positions. A plan with
much of both is hacked: its promise came from the model's error. A plan with little error is good. A second model, trained like
the setting's own from other initial weights, looks at every second of these plans; its threshold is what no more than 5 %
exceed, of the held-out windows of the setting's own data and of the other plans that were good.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from benchmarks.hacking_worlds import Ant, Maze, Plans, World
from experiments.figures import canvas, draw_maze, encode, style
from experiments.flag_config import run_program
from invlearn_jax.data import Dataset, concatenate, read_goal_policy, sample_windows, split, window_store
from invlearn_jax.files import replace_files, write_json
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.learn.behaviour_cloning import cloning_state, cloning_update
from invlearn_jax.learn.forward_model import Source, ensemble_update, forward_model_update
from invlearn_jax.learn.inverter import inverter_state, inverter_update
from invlearn_jax.learn.loop import TrainState, default_optimizer, train
from invlearn_jax.models.ensemble import DisagreementModel, EnsembleModel
from invlearn_jax.names import unknown_name
from invlearn_jax.objectives import disagreement
from invlearn_jax.planners import InversePlanner, PlannerParams
from invlearn_jax.planners.watched import WatchedParams, WatchedPlanner, calibrate
from invlearn_jax.rollout import score
from invlearn_jax.types import Key, Objective, Params

_ROBOT = flags.DEFINE_enum("robot", None, ["maze2d", "ant"], "Which robot.", required=True)
_POLICY = flags.DEFINE_string("policy", "", "The ant's goal-reaching policy, which makes its data.")
_SETTINGS = flags.DEFINE_list("settings", [], "Which settings to train; by default all.")
_ROWS = flags.DEFINE_integer("rows", 100_000, "Rows of narrow data.", lower_bound=1000)
_BROAD = flags.DEFINE_integer("broad_rows", 400_000, "Rows of broad data.", lower_bound=1000)
_MODEL = flags.DEFINE_integer("model_updates", 2000, "Updates of the forward model.", lower_bound=6)
_INVERTER = flags.DEFINE_integer("inverter_updates", 2000, "Updates of the Inverter.", lower_bound=6)
_SEED = flags.DEFINE_integer("seed", 20261123, "Seed of the judging; training uses others.", lower_bound=0)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Where to write the record as JSON; a picture goes beside it.", required=True
)

_MEMBERS = 3
_ADVERSARIAL_ROUNDS = 3
_BLOCK = 250


class Setting(NamedTuple):
    """How a planner is trained.

    Attributes:
        corridor: whether the narrow data are cut to one corridor.
        broad: share of the broad data's rows that the model also learns from.
        disagreement: weight of the members' disagreement in the objective; an ensemble is trained if above 0.
        adversarial: weight of the plans' cost in the model's training.
        trust: whether the Inverter is kept near the data.
        rounds: of executing plans and learning from that.
    """

    corridor: bool = False
    broad: float = 0.0
    disagreement: float = 0.0
    adversarial: float = 0.0
    trust: bool = False
    rounds: int = 0


SETTINGS = {
    "one corridor of it": Setting(corridor=True),
    "narrow data": Setting(),
    "narrow + 10 % of the broad": Setting(broad=0.1),
    "narrow + broad": Setting(broad=1.0),
    "ensemble + disagreement": Setting(disagreement=1.0),
    "adversarial model": Setting(adversarial=0.1),
    "trust region": Setting(trust=True),
    "online correction": Setting(rounds=3),
    "trust region + online correction": Setting(trust=True, rounds=3),
    "broad + trust region + online correction": Setting(broad=1.0, trust=True, rounds=3),
}


class Trained(NamedTuple):
    """A planner to be judged, with the mean of its models and the plain objective.

    Attributes:
        planner: to be judged.
        params: its parameters.
        sources: what its model learned from at last.
        held_out: as many windows of each source that it did not learn from.
        rows: what it learned from at first.
    """

    planner: InversePlanner
    params: PlannerParams
    sources: list[Source]
    held_out: list[Dataset]
    rows: Dataset


def fit(update: Callable, state: TrainState, steps: int) -> Params:
    """Trains for so many updates; returns the parameters."""
    return train(update, state, steps, min(_BLOCK, steps)).params


def train_model(
    world: World,
    sources: list[Source],
    params: Params,
    steps: int,
    key: Key,
    members: int,
    prior: Callable[[Params, Key], jax.Array] | None = None,
    single_steps: bool = False,
) -> Params:
    """One model, or several from different initial weights, on windows or on single steps."""
    optimizer, (batch, window) = default_optimizer(1e-3, steps), (1024, 1) if single_steps else (192, world.window)
    update = forward_model_update(world.model, optimizer, sources, batch, window, prior)
    opt_state = jax.vmap(optimizer.init)(params.net) if members > 1 else optimizer.init(params.net)
    state = TrainState(jnp.zeros((), jnp.int32), key, params, opt_state, ())
    return fit(ensemble_update(update) if members > 1 else update, state, steps)


def train_inverter(
    world: World, setting: Setting, prior: Callable | None, params: Params, model_params: Params, steps: int, key: Key
) -> Params:
    """The Inverter through the frozen model, under the setting's objective."""
    model, objective, scale = world.model, world.trusting if setting.trust else world.objective, model_params.std
    if setting.disagreement:
        scale = model_params.std[0]
        model, objective = _cautious(world, setting, model_params), _charged(world.objective, setting.disagreement)
    optimizer = default_optimizer(1e-3, steps)
    update = inverter_update(
        world.inverter,
        model,
        objective,
        model_params,
        world.objective_params,
        optimizer,
        world.draw,
        world.training,
        scale,
        prior if setting.trust else None,
    )
    return fit(update, inverter_state(optimizer, params, key, world.draw, world.training.batch), steps)


def _cautious(world: World, setting: Setting, model_params: Params) -> DisagreementModel:
    return DisagreementModel(world.model, _MEMBERS, model_params.delta[0, -1])


def _charged(objective: Objective, weight: float) -> Objective:
    """The objective with the disagreement, which is the states' last entry, as a further term."""

    def charged(params: Params, states: jax.Array, actions: jax.Array, goal: jax.Array) -> dict[str, jax.Array]:
        terms = objective(params, states[:, :-1], actions, goal)
        return terms | {"disagreement": weight * disagreement(params, states, actions, goal)}

    return charged


def train_setting(world: World, setting: Setting, seed: int) -> Trained:
    """Data, model, Inverter; then the rounds of correction or of adversarial training, with as many updates again."""
    keys = iter(jax.random.split(jax.random.key(seed), 64))
    narrow = world.corridor(world.narrow) if setting.corridor else world.narrow
    parts = [split(rows) for rows in ([narrow, _share(world.broad, setting.broad)] if setting.broad else [narrow])]
    rows, held_out = concatenate(*(part for part, _ in parts)), [part for _, part in parts]
    data = sources = [Source(window_store(part, world.window), 1.0) for part, _ in parts]
    members = _MEMBERS if setting.disagreement else 1
    first = [world.first_model(rows, next(keys)) for _ in range(members)]
    model_params = jax.tree.map(lambda *x: jnp.stack(x), *first) if members > 1 else first[0]
    rounds = _ADVERSARIAL_ROUNDS if setting.adversarial else setting.rounds
    model_updates, updates = (total // 2 if rounds else total for total in (_MODEL.value, _INVERTER.value))
    if world.single_steps:
        model_params = train_model(world, sources, model_params, _MODEL.value, next(keys), members, single_steps=True)
    model_params = train_model(world, sources, model_params, model_updates, next(keys), members)
    params = world.first_inverter(first[0], next(keys))
    prior = world.prior(parts[0][0]) if setting.trust else None
    if prior is not None:
        optimizer = default_optimizer(1e-3, _INVERTER.value)
        params = fit(cloning_update(prior, optimizer), cloning_state(optimizer, params, next(keys)), _INVERTER.value)
    params = train_inverter(world, setting, prior, params, model_params, updates, next(keys))

    def planner() -> tuple[InversePlanner, PlannerParams]:
        model = EnsembleModel(world.model, members) if members > 1 else world.model
        made = InversePlanner(world.inverter, model, world.objective, execute_steps=world.config.execute_steps)
        return made, PlannerParams(params, model_params, world.objective_params)

    executed: list[Dataset] = []
    for round_ in range(rounds):
        against = _against(world, setting.adversarial, params) if setting.adversarial else None
        if setting.rounds:
            executed.append(world.executed(*planner(), seed=100 * seed + round_))
            known, unknown = split(concatenate(*executed))
            # As large a part of a batch as all the rest.
            sources = [*data, Source(window_store(known, world.window), float(len(data)))]
            held_out = [*(part for _, part in parts), unknown]
        model_params = train_model(world, sources, model_params, model_updates // rounds, next(keys), members, against)
        params = train_inverter(world, setting, prior, params, model_params, updates // rounds, next(keys))
    return Trained(*planner(), sources, held_out, rows)


def _share(rows: Dataset, share: float) -> Dataset:
    count = int(share * len(rows.states))
    return Dataset(rows.states[:count], rows.actions[:count], np.append(rows.ends[: count - 1], True))


def _against(world: World, weight: float, inverter: Params) -> Callable[[Params, Key], jax.Array]:
    """Minus the cost of a frozen Inverter's plans under a model; see ``forward_model_update``."""

    def one(params: Params, key: Key) -> jax.Array:
        problem = world.draw(key)
        actions = jnp.tanh(world.inverter.logits(inverter, problem))
        return score(world.model, world.objective, params, world.objective_params, problem, actions).cost

    return lambda params, key: -weight * jax.vmap(one, in_axes=(None, 0))(params, jax.random.split(key, 64)).mean()


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
    """What a second model says of half of the plans; its threshold comes from held-out data and the good ones of the others."""
    key, *keys = jax.random.split(jax.random.key(7919), 2 + len(trained.held_out))
    watcher = world.first_model(trained.rows, key)
    if world.single_steps:
        watcher = train_model(world, trained.sources, watcher, _MODEL.value, keys[0], 1, single_steps=True)
    watcher = train_model(world, trained.sources, watcher, _MODEL.value, keys[0], 1)
    planner, horizon = trained.planner, world.inverter.horizon
    watched = WatchedPlanner(planner, world.model)
    params = WatchedParams(trained.params, watcher, jnp.array(jnp.inf))

    @jax.jit
    @jax.vmap
    def apart(states: jax.Array, actions: jax.Array) -> jax.Array:
        return watched.disagreement(params, states, actions)

    stores = [window_store(part, horizon) for part in trained.held_out]
    windows = [sample_windows(store, k, 1000, horizon) for store, k in zip(stores, keys[1:], strict=True)]
    starts, actions = (jnp.concatenate(x) for x in zip(*((w.states[:, 0], w.actions) for w in windows), strict=True))
    predicted = jax.jit(jax.vmap(planner.model.unroll, in_axes=(None, 0, 0)))(trained.params.model, starts, actions)
    found, (hacked, good) = np.asarray(apart(plans.out.states, plans.out.actions)), kinds(world, plans)
    samples = [np.asarray(apart(predicted, actions)), found[::2][good[::2]]]
    threshold = max(float(calibrate(jnp.asarray(sample))) for sample in samples if len(sample))
    flagged, hacked, good = found[1::2] > threshold, hacked[1::2], good[1::2]
    return {
        "threshold_m": threshold,
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
    if _ROBOT.value == "ant" and not _POLICY.value:
        raise ValueError("The ant's data are made by a goal-reaching policy; give its file by --policy.")
    world = (
        Ant(read_goal_policy(_POLICY.value), _ROWS.value, _BROAD.value)
        if _ROBOT.value == "ant"
        else Maze(_ROWS.value, _BROAD.value)
    )
    rows, tracks = [], {}
    for name in names:
        trained = train_setting(world, SETTINGS[name], seed=0)
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
