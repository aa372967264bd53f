"""Costs as users of sampling MPC write them: functions of MJX's data, ``running_cost(data, control)``, ``terminal_cost(data)``.

    J = dt sum_{t=1..T} running_cost(x_t, u_{t-1}) + terminal_cost(x_T)

Source: hydrax, ``task_base.py`` and ``alg_base.py``, whose tasks become ours in one call. There the running cost is of the state
before the control, here of that after it: one step later, and the start, which no plan changes, is left out.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import mujoco
from jaxtyping import Array, Float

from invlearn_jax.tasks.adapters.derived import data_reads, derive, pruned, refuse_fields, refuse_sensors
from invlearn_jax.tasks.mujoco import MujocoTask
from invlearn_jax.tasks.task import Terms

Running = Callable[[Any, Array], Array]
Terminal = Callable[[Any], Array]


@runtime_checkable
class SamplingTask(Protocol):
    """What a task of sampling MPC has, hydrax's among them.

    Attributes:
        mj_model: the physics.
        dt: seconds per step, a multiple of the model's timestep; hydrax's tasks have the timestep itself.
        running_cost: ``(data, control) -> cost`` per second.
        terminal_cost: ``(data) -> cost`` of where a plan ends.
    """

    mj_model: mujoco.MjModel
    dt: float
    running_cost: Running
    terminal_cost: Terminal


class Costs(NamedTuple):
    """A ``SamplingTask`` from a model and functions; see there."""

    mj_model: mujoco.MjModel
    dt: float
    running_cost: Running
    terminal_cost: Terminal = lambda data: 0.0  # type: ignore[assignment,return-value]  # a number is as good as an array


class CostTask(MujocoTask):
    """A task whose model and costs are those of a ``SamplingTask``.

        class Pendulum(CostTask):
            source, control_dt, horizon, velocity_spread = hydrax.tasks.pendulum.Pendulum, 0.02, 16, 4.0

    Costs may read all of MJX's data that follows from a state without a step (``derived.FIELDS``). What else a task has to say
    (``draw_state``, ``features``, ``configure``, ...) is overridden as in any ``MujocoTask``.

    Attributes:
        source: makes the ``SamplingTask``, or is one.
        control_dt: seconds per control step; 0 for the source's ``dt``. In hydrax it is the controller that has it.
    """

    source: Any = None
    control_dt: float = 0.0

    def __init__(self) -> None:
        """Traces both costs.

        Raises:
            TypeError: if ``source`` is no ``SamplingTask``; names what it lacks.
            ValueError: for costs that read what a state does not give, and what ``MujocoTask`` refuses.
        """
        given = type(self).source
        made = given() if callable(given) and not isinstance(given, SamplingTask) else given
        lacks = [name for name in ("mj_model", "dt", "running_cost", "terminal_cost") if not hasattr(made, name)]
        if lacks:
            raise TypeError(
                f"The source of {self.name} is a {type(made).__name__} without {', '.join(lacks)}. Give a task as hydrax has "
                "them, or Costs(mj_model, dt, running_cost, terminal_cost)."
            )
        self._made: SamplingTask = made
        self.control_dt = type(self).control_dt or float(made.dt)
        super().__init__()
        # Traced now, so that what cannot be had is refused before anything is made.
        _ = self._running, self._terminal

    def make_model(self) -> mujoco.MjModel:
        """The source's model."""
        return self._made.mj_model

    def cost(self, state: Float[Array, " S"], action: Float[Array, " A"], goal: Float[Array, " G"]) -> Terms:
        """``running_cost``, with the control that led to the state."""
        return {"running": self._running(state, action)}

    def final_cost(self, state: Float[Array, " S"], goal: Float[Array, " G"]) -> Terms:
        """``terminal_cost``."""
        return {"terminal": self._terminal(state, jnp.zeros(self.mj_model.nu))}

    @functools.cached_property
    def _running(self) -> Callable[[Array, Array], Array]:
        return self._of_state(self._made.running_cost, "running_cost")

    @functools.cached_property
    def _terminal(self) -> Callable[[Array, Array], Array]:
        return self._of_state(lambda data, control: self._made.terminal_cost(data), "terminal_cost")

    def _of_state(self, cost: Running, name: str) -> Callable[[Array, Array], Array]:
        """A cost of data as one of state and control."""
        what = f"{name} of {self.name}"
        mjx, model, data = self._places
        control = jnp.zeros(self.mj_model.nu)

        def scalar(data: Any, control: Array) -> Array:
            value = jnp.asarray(cost(data, control), float)
            if value.shape:
                raise ValueError(f"{what} gave an array of shape {value.shape}; wanted is one number.")
            return value

        reads = data_reads(pruned(scalar, data, control).reads, 0)
        refuse_fields(reads, what)
        if "contact" in reads:
            mjx, model, data = self._mjx
        if "sensordata" in reads:
            refuse_sensors(
                self.mj_model,
                lambda sensors: scalar(data.replace(sensordata=sensors), control),
                self.mj_model.nsensordata,
                what,
            )
        return lambda state, control: scalar(derive(mjx, model, data, state, control, reads), control)


def cost_task(source: Any, **attributes: Any) -> CostTask:
    """A task from a ``SamplingTask`` in one call.

    A planner that is to be saved needs a class at the top of a file instead; see ``CostTask``.

    Args:
        source: a ``SamplingTask``, or what makes one.
        attributes: of the task: ``horizon=16``, ``velocity_spread=4.0``, ...

    Returns:
        The task.

    Raises:
        TypeError: for an unknown attribute, or what is no ``SamplingTask``.
        ValueError: see ``CostTask``.
    """
    unknown = [name for name in attributes if not hasattr(CostTask, name)]
    if unknown:
        raise TypeError(
            f"A task has no {', '.join(unknown)}. Give attributes of MujocoTask, e.g. horizon or velocity_spread."
        )
    owner = source if inspect.isclass(source) or inspect.isfunction(source) else type(source)
    return type(owner.__name__, (CostTask,), {"source": source, **attributes})()
