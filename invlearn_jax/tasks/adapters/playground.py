"""MuJoCo Playground's environments as tasks: ``--task=playground:CartpoleSwingup``, or a subclass of ``PlaygroundTask``.

    cost(s', a) = (best - r(s', a)) / dt    per second,    r: the environment's own reward

The state is ``[qpos, qvel, act]`` of the environment's data, actions are in ``[-1, 1]`` as Playground's policies have them. The
reward is the environment's ``step`` without the physics, on data that follow from a state (``derived``), and its gradient needs
no solver. Data come from C MuJoCo, under the control that ``step`` makes of an action.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array, Float

from invlearn_jax.evaluate.metrics import mean_ci
from invlearn_jax.names import unknown_name
from invlearn_jax.tasks.adapters.derived import (
    Pruned,
    data_reads,
    derive,
    frozen,
    pruned,
    refuse_fields,
    refuse_sensors,
)
from invlearn_jax.tasks.mujoco import MujocoSimulator, MujocoTask
from invlearn_jax.tasks.task import Episodes, JaxSimulator, Simulator, Terms
from invlearn_jax.types import Key

_SUITE_BEST = 1.0  # rewards of the dm_control suite are from 0 to 1


class PlaygroundTask(MujocoTask):
    """An environment of MuJoCo Playground.

        class Swingup(PlaygroundTask):
            environment, horizon, velocity_spread, best_reward = "CartpoleSwingup", 32, (1.0, 5.0), 1.0

    Where the reward reads ``state.info``, a state does not hold all that it depends on: entries may become the goal
    (``goal_info``) or keep what ``reset`` gives them (``held_info``), or a ``cost`` of one's own takes the reward's place.

    Attributes:
        environment: its name in Playground's registry, or a function that makes it.
        overrides: of its configuration, ``{"pert_config.enable": False}``.
        goal_info: the entry of ``state.info`` that is the goal, e.g. ``"command"``; drawn as ``reset`` draws it.
        held_info: entries of ``state.info`` that keep their values in costs.
        best_reward: of a step, at most; a constant in the cost.
    """

    environment: str | Callable[[], Any] = ""
    overrides: Mapping[str, Any] = {}
    goal_info: str = ""
    held_info: tuple[str, ...] = ()
    best_reward: float = 0.0
    episode_length = 1000

    def __init__(self) -> None:
        """Loads the environment, and finds what its reward depends on.

        Raises:
            ImportError: without Playground; names the extra to install.
            ValueError: for an unknown environment, a reward of what a state does not hold, and what ``MujocoTask`` refuses.
        """
        self.env = self.make_environment()
        self.control_dt = float(self.env.dt)
        self._key = jax.random.key(0)
        self._shapes = jax.eval_shape(self.env.reset, self._key)
        self._check_data()
        if self.goal_info:
            self.goal_size = int(np.prod(self._info_shape(self.goal_info)))
        super().__init__()
        if type(self).cost is PlaygroundTask.cost:
            _ = self._reward

    def make_environment(self) -> Any:
        """The environment.

        Raises:
            ImportError: without Playground; names the extra to install.
            ValueError: for an unknown name.
        """
        return _load(type(self).environment, dict(self.overrides))

    def make_model(self) -> mujoco.MjModel:
        """The environment's model."""
        return self.env.mj_model

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """-1 and 1."""
        ones = np.ones(int(self.env.action_size), np.float32)
        return -ones, ones

    # The environment's functions, without what is not needed of them.

    def reset(self, key: Key) -> Float[Array, " S"]:
        """The environment's start. The key is consumed."""
        return self._start.call(key)

    def draw_goal(self, key: Key) -> Float[Array, " G"]:
        """What ``reset`` draws for ``goal_info``. The key is consumed."""
        return self._drawn_goal.call(key) if self.goal_info else super().draw_goal(key)

    def achieved(self, state: Float[Array, " S"]) -> Float[Array, " G"]:
        """Nothing of a state is of a goal's kind, but where a subclass says so."""
        return jnp.zeros(self.goal_size)

    def goal_features(self, state: Float[Array, " S"], goal: Float[Array, " G"]) -> Float[Array, " G"]:
        """The goal."""
        return goal

    def cost(self, state: Float[Array, " S"], action: Float[Array, " A"], goal: Float[Array, " G"]) -> Terms:
        """See the module."""
        return {"reward": (self.best_reward - self._reward.call(state, action, goal)) / self.dt}

    def reward(
        self, state: Float[Array, " S"], action: Float[Array, " A"], goal: Float[Array, " G"]
    ) -> Float[Array, ""]:
        """The environment's, or minus the cost where a subclass has one of its own."""
        if type(self).cost is not PlaygroundTask.cost:
            return super().reward(state, action, goal)
        return self._reward.call(state, action, goal)

    def step(self, state: Float[Array, " S"], action: Float[Array, " A"]) -> Float[Array, " S"]:
        """The environment's, on MJX, ``state.info`` being that of a fresh episode."""
        return _state(self.env.step(self._at(self._fresh, state), jnp.asarray(action, float)).data)

    def simulator(self) -> Simulator:
        """C MuJoCo under the environment's controls; MJX where these are no affine function of the action alone."""
        # The control before is overwritten in the step.
        if self._control.reads - {("1",), ("0", "data", "ctrl")}:
            return JaxSimulator(self)
        affine = _affine(functools.partial(self._control.call, self._blank), self.action_size)
        return JaxSimulator(self) if affine is None else _Controlled(self.mj_model, self.substeps, *affine)

    def stepped_without_physics(self, whole: Any, action: Array) -> Any:
        """The environment's step from one of its states, in which the physics do nothing; to be traced."""
        with frozen():
            return self.env.step(whole, action)

    def on_mjx(self) -> tuple[Any, Any, Any]:
        """The module, and the environment's own model and data."""
        from mujoco import mjx  # noqa: PLC0415  (Playground has imported it by now)

        return mjx, self.env.mjx_model, mjx.make_data(self.mj_model)

    def metrics(self, episodes: Episodes) -> dict[str, Any]:
        """The return of each episode by the environment itself.

        Every state is put into the environment, which makes the step and gives its reward; ``state.info`` goes on from step to
        step. ``replay_error`` is how far its next state is from the episode's at the 99th percentile, of any entry.
        """
        returns, lengths, error = (np.asarray(x) for x in _replayed(self, episodes))
        found = mean_ci(returns).fields("return")
        return found | {"steps_mean": float(lengths.mean()), "replay_error": float(np.percentile(error, 99))}

    @functools.cached_property
    def _mjx(self) -> tuple[Any, Any, Any]:
        with jax.ensure_compile_time_eval():
            return self.on_mjx()

    @functools.cached_property
    def _start(self) -> Pruned:
        return pruned(lambda key: _state(self.env.reset(key).data), self._key)

    @functools.cached_property
    def _drawn_goal(self) -> Pruned:
        return pruned(lambda key: self.env.reset(key).info[self.goal_info].reshape(-1), self._key)

    @functools.cached_property
    def _fresh(self) -> Any:
        """A whole state of the environment, at the start of an episode."""
        return _now(self.env.reset, self._key)

    @functools.cached_property
    def _blank(self) -> Any:
        """A state of the environment that is zero throughout."""
        with jax.ensure_compile_time_eval():
            return zeros(self._shapes)

    @functools.cached_property
    def _control(self) -> Pruned:
        """``(environment's state, action) -> control [U]``."""

        def control(state: Any, action: Array) -> Array:
            return self.stepped_without_physics(state, action).data.ctrl

        return pruned(control, self._shapes, self._action)

    @property
    def _action(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((int(self.env.action_size),), jnp.zeros(()).dtype)

    @functools.cached_property
    def _reward(self) -> Pruned:
        """``(state, action, goal) -> reward`` of a step that ends in ``state``."""
        return _reward_of_state(self)

    def _at(self, whole: Any, state: Array) -> Any:
        """The environment's state with another ``[qpos, qvel, act]``; its dicts are fresh, since ``step`` writes into them."""
        whole = jax.tree.map(lambda x: x, whole)
        parts = jnp.split(state.astype(whole.data.qpos.dtype), [self.mj_model.nq, self.mj_model.nq + self.mj_model.nv])
        return whole.replace(data=whole.data.replace(**dict(zip(("qpos", "qvel", "act"), parts, strict=True))))

    def _info_shape(self, name: str) -> tuple[int, ...]:
        info = self._shapes.info
        if name not in info:
            raise unknown_name(f"entry of state.info of {self.name}", name, info)
        return info[name].shape

    def _check_data(self) -> None:
        data = getattr(self._shapes, "data", None)
        if not (hasattr(data, "qpos") and hasattr(data, "qvel")):
            raise ValueError(
                f"The states of {self.name} hold no MuJoCo data with qpos and qvel, but {sorted(vars(self._shapes))}. A "
                "task needs a state that it can be put into; inherit from invlearn_jax.Task and give step() or "
                "simulator() yourself."
            )


class _Controlled:
    """C MuJoCo under the control that an environment makes of an action. See ``Simulator`` and ``Unrolls``."""

    def __init__(self, model: mujoco.MjModel, substeps: int, scale: np.ndarray, offset: np.ndarray) -> None:
        free = np.full(model.nu, np.inf)
        self._inner = MujocoSimulator(model, substeps, -free, free)
        self._scale, self._offset = scale, offset

    def step(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return self.unroll(states, np.asarray(actions)[:, None])[:, -1]

    def unroll(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return self._inner.unroll(states, np.asarray(actions, np.float64) @ self._scale + self._offset)

    def close(self) -> None:
        self._inner.close()


def _affine(control: Callable[[Array], Array], size: int) -> tuple[np.ndarray, np.ndarray] | None:
    """``(M [A, U], b [U])`` of ``control(a) = a M + b``, or None where it is no such function.

    It is computed on the host: simulators are called from within JAX's programs, which may not call JAX again.
    """
    tried = np.concatenate([np.zeros((1, size)), np.eye(size), np.random.default_rng(0).uniform(-1, 1, (16, size))])
    found = np.asarray(jax.jit(jax.vmap(control))(jnp.asarray(tried, float)), np.float64)
    offset, scale = found[0], found[1 : 1 + size] - found[0]
    return (scale, offset) if np.allclose(tried @ scale + offset, found, atol=1e-5) else None


def zeros(shapes: Any) -> Any:
    """Zeros of these shapes; keys of randomness where keys are wanted."""

    def zero(x: Any) -> Array:
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jnp.broadcast_to(jax.random.key(0), x.shape)
        return jnp.zeros(x.shape, x.dtype)

    return jax.tree.map(zero, shapes)


def _state(data: Any) -> Float[Array, " S"]:
    return jnp.concatenate([data.qpos, data.qvel, data.act])


def _reward_of_state(task: PlaygroundTask) -> Pruned:
    """The environment's reward of a step that ends in a state, with the physics left out of the step.

    Raises:
        ValueError: if it depends on what a state does not hold; says on what, and the ways out.
    """
    env, shapes, what = task.env, task._shapes, f"The reward of {task.name}"

    def reward(data: Any, info: Any, action: Array, goal: Array) -> Array:
        own = {task.goal_info: goal.reshape(task._info_shape(task.goal_info))} if task.goal_info else {}
        whole = zeros(shapes).replace(data=data, info=dict(info) | own)
        return task.stepped_without_physics(whole, action).reward

    goal = jax.ShapeDtypeStruct((task.goal_size,), jnp.zeros(()).dtype)
    found = pruned(reward, shapes.data, shapes.info, task._action, goal)
    reads = data_reads(found.reads, 0)
    refuse_fields(reads, what)
    held = {path[1] for path in found.reads if path[0] == "1"}
    if missing := sorted(held - {*task.held_info}):
        raise ValueError(
            f"{what} depends on state.info of {', '.join(missing)}, which qpos and qvel do not hold. Give the task a cost of "
            f"its own; or goal_info for what is commanded; or held_info={tuple(missing)}, with which costs keep the "
            "values that reset gives (the return in records is the environment's own all the same)."
        )
    mjx, model, data = task._mjx
    begun = pruned(lambda key: {name: env.reset(key).info[name] for name in held}, task._key)
    info = task._blank.info | _now(begun.call, task._key)

    def derived(state: Array, control: Array) -> Any:
        return derive(mjx, model, data, state, control, reads)

    def of_sensors(sensors: Array) -> Array:
        home = jnp.pad(jnp.asarray(task.home), (0, task.state_size - len(task.home)))
        there = derived(home, jnp.zeros(task.mj_model.nu)).replace(sensordata=sensors)
        return found.call(there, info, jnp.zeros(task._action.shape), jnp.zeros(goal.shape))

    if "sensordata" in reads:
        refuse_sensors(task.mj_model, of_sensors, task.mj_model.nsensordata, what)

    def of_state(state: Array, action: Array, goal: Array) -> Array:
        control = task._control.call(task._blank, action)
        return found.call(derived(state, control), info, action, goal)

    state = jax.ShapeDtypeStruct((task.state_size,), jnp.zeros(()).dtype)
    return pruned(of_state, state, task._action, goal)


def _now(function: Callable[[Key], Any], key: Key) -> Any:
    """What a function gives, as plain arrays, even where it is called while another is traced."""
    return jax.jit(function).lower(key).compile()(key)


def _replayed(task: PlaygroundTask, episodes: Episodes) -> Any:
    """Returns ``[N]``, lengths ``[N]`` and errors ``[N, L]`` of episodes in the environment; see ``PlaygroundTask.metrics``."""

    def one(states: Array, actions: Array, goal: Array) -> tuple[Array, Array, Array]:
        def step(carry: tuple[Any, Array], row: tuple[Array, Array, Array]) -> tuple[tuple[Any, Array], tuple]:
            whole, going = carry
            state, action, following = row
            whole = task._at(whole, state)
            if task.goal_info:
                whole.info[task.goal_info] = goal.reshape(task._info_shape(task.goal_info)).astype(float)
            whole = task.env.step(whole, action)
            error = jnp.abs(_state(whole.data) - following).max()
            return (whole, going & (whole.done == 0)), (going * whole.reward, going, error)

        begin = task._fresh, jnp.array(True)
        _, (rewards, going, error) = jax.lax.scan(step, begin, (states[:-1], actions, states[1:]))
        return rewards.sum(), going.sum(), error

    rows = (jnp.asarray(x, jnp.zeros(()).dtype) for x in (episodes.states, episodes.actions, episodes.goals))
    return jax.jit(jax.vmap(one))(*rows)


def _load(environment: str | Callable[[], Any], overrides: dict[str, Any]) -> Any:
    """The environment by its name in the registry, or from what makes it."""
    if callable(environment):
        return environment()
    registry = _registry()
    if environment not in registry.ALL_ENVS:
        raise unknown_name("environment of MuJoCo Playground", environment, registry.ALL_ENVS)
    # Later releases simulate on Warp unless told otherwise, which has no gradients.
    if "impl" in registry.get_default_config(environment):
        overrides = {"impl": "jax", **overrides}
    return registry.load(environment, config_overrides=overrides)


def _registry() -> Any:
    try:
        from mujoco_playground import registry  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(
            "Environments of MuJoCo Playground need it: pip install 'invlearn_jax[playground]'."
        ) from error
    except Exception as error:  # it downloads its robots' files when it is first imported
        raise ImportError(
            f"MuJoCo Playground cannot be imported ({type(error).__name__}: {error}). At its first import it downloads "
            "mujoco_menagerie with git; let it do so once with a network, or put the folder into mujoco_playground/external_deps."
        ) from error
    return registry


def make(name: str) -> PlaygroundTask:
    """The task of an environment by its name in Playground's registry. See ``PlaygroundTask``."""
    registry = _registry()
    best = _SUITE_BEST if name in registry.dm_control_suite.ALL_ENVS else 0.0
    body = {"name": f"playground:{name}", "environment": name, "best_reward": best}
    return type("Environment", (PlaygroundTask,), body)()
