"""Training the baselines of maze2d: behaviour cloning, ReBRAC and the Decision Transformer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.configs.maze2d_policy import BcConfig, Config, DtConfig, RebracConfig
from experiments.pipelines.maze_data import base_config, load_data, unbroken
from experiments.pipelines.stages import PlannerOf, run_stage
from invlearn_jax.data import Dataset, fit_normalizer
from invlearn_jax.io.planners import load_planner, save_planner
from invlearn_jax.io.run_folder import RunFolder
from invlearn_jax.keys import from_seed, stream
from invlearn_jax.learn.behaviour_cloning import cloning_loss, cloning_state, cloning_update, data_box, hindsight_store
from invlearn_jax.learn.decision_transformer import (
    return_store,
    transformer_optimizer,
    transformer_state,
    transformer_update,
)
from invlearn_jax.learn.loop import TrainState, Update, default_optimizer
from invlearn_jax.learn.rebrac import (
    RebracTraining,
    check_training,
    critic_network,
    rebrac_state,
    rebrac_store,
    rebrac_update,
)
from invlearn_jax.models.policy import PolicyParams
from invlearn_jax.planners import InverterParams, PlannerParams
from invlearn_jax.planners.policy import RolloutParams
from invlearn_jax.tasks.maze2d import specs as maze2d_specs
from invlearn_jax.tasks.maze2d.planner import POSITION_SIZE
from invlearn_jax.tasks.maze2d.policy import (
    MazePolicyConfig,
    build_cloner,
    build_decision_transformer,
    build_mlp_policy,
    build_policy_planner,
    reward_of,
)

# A state to train from, an update, and the metric to show.
_Learner = tuple[TrainState, Update, str]


def describe(config: Config) -> MazePolicyConfig:
    """The planner that a configuration asks for.

    Raises:
        ValueError: for an unknown or broken base planner, or one that is not of one level.
    """
    base, policy = base_config(config.base), config.policy
    if isinstance(config, DtConfig):
        return MazePolicyConfig(
            base,
            "dt",
            policy.horizon,
            policy.execute_steps,
            context=policy.context,
            target_return=policy.target_return,
            return_scale=policy.return_scale,
            width=policy.width,
            layers=policy.layers,
            heads=policy.heads,
            dropout=policy.dropout,
        )
    method, horizon = ("bc", policy.horizon) if isinstance(config, BcConfig) else ("rebrac", 1)
    return MazePolicyConfig(base, method, horizon, horizon, tuple(policy.hidden), policy.octaves)


def check(config: Config) -> None:
    """Builds everything once without training it, so that a bad setting costs no time.

    Raises:
        ValueError: for a base planner that cannot be used, or settings that do not fit together.
    """
    planner = build_policy_planner(describe(config))
    jax.eval_shape(planner.init, jax.random.key(0))
    if isinstance(config, DtConfig):
        _transformer_optimizer(config)
    if isinstance(config, RebracConfig):
        check_training(_rebrac_training(config))


def _cloning(config: BcConfig, data: Dataset, key: jax.Array) -> _Learner:
    settings, inverter = config.policy, build_cloner(describe(config))
    init_key, key = jax.random.split(key)
    params = inverter.init(init_key)._replace(**data_box(data, POSITION_SIZE))
    optimizer = default_optimizer(settings.learning_rate, settings.steps)
    store = hindsight_store(data, settings.horizon)
    loss = cloning_loss(inverter.logits, store, settings.batch, settings.horizon, lambda s: s[:POSITION_SIZE])
    update = cloning_update(loss, optimizer)
    return cloning_state(optimizer, params, key), update, "cloning_loss"


def _rebrac_training(config: RebracConfig) -> RebracTraining:
    return RebracTraining(**{name: getattr(config.policy, name) for name in RebracTraining._fields})


def _rebrac(config: RebracConfig, data: Dataset, key: jax.Array) -> _Learner:
    settings, description = config.policy, describe(config)
    policy = build_mlp_policy(description)
    critic = critic_network(policy, settings.hidden)
    optimizers = (default_optimizer(settings.learning_rate, settings.steps),) * 2
    update = rebrac_update(
        policy, critic, optimizers, rebrac_store(data), reward_of(description.env), _rebrac_training(config)
    )
    state = rebrac_state(policy, critic, optimizers, key, fit_normalizer(data), _goal(description.env))
    return state, update, "value"


def _transformer_optimizer(config: DtConfig) -> optax.GradientTransformation:
    settings = config.policy
    return transformer_optimizer(settings.learning_rate, settings.steps, settings.warm_up, settings.decay)


def _transformer(config: DtConfig, data: Dataset, key: jax.Array) -> _Learner:
    settings, description = config.policy, describe(config)
    policy, optimizer, goal = (
        build_decision_transformer(description),
        _transformer_optimizer(config),
        _goal(description.env),
    )
    rewards = np.asarray(reward_of(description.env)(jnp.asarray(data.states[:, :POSITION_SIZE]), goal))
    store = return_store(unbroken(data), rewards, settings.return_steps, settings.context)
    update = transformer_update(policy, optimizer, store, settings.batch, settings.return_steps)
    return transformer_state(policy, optimizer, key, fit_normalizer(data), goal), update, "transformer_loss"


def _goal(env: str) -> jax.Array:
    return jnp.asarray(maze2d_specs.spec(env).layout.goal, jnp.float32)


def train_policy(config: Config, run: RunFolder, seed: int) -> tuple[str, PlannerOf]:
    """Trains the method of the configuration on the goal-directed part of the data.

    Returns:
        The environment's name, and the planner for a number of refinement steps; it is also saved under ``planner/``.
    """
    description = describe(config)
    learners = {"bc": _cloning, "rebrac": _rebrac, "dt": _transformer}
    data = load_data(config.data, description.env, run, seed).main
    state, update, headline = learners[description.method](config, data, stream(from_seed(seed), description.method))
    state = run_stage(
        run,
        description.method,
        update,
        state,
        config.policy.steps,
        config.block,
        config.checkpoint_every,
        headline,
    )
    params = planner_params(config, state.params)
    save_planner(run.path / "planner", description, params, shares=config.base)
    return description.env, lambda refine_steps: (build_policy_planner(description, refine_steps), params)


def planner_params(config: Config, policy: InverterParams | PolicyParams) -> PlannerParams:
    """A planner's parameters: a trained policy's, with model and objective of the base planner."""
    base = load_planner(config.base)[1]
    inverter = policy if isinstance(policy, InverterParams) else RolloutParams(policy, ())
    return PlannerParams(inverter, base.model, base.objective)
