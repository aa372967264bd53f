"""Running robots: gymnasium's hopper, half-cheetah, walker, ant and humanoid, in the editions that published experts ran in."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invlearn_jax.tasks.registry import TaskEntry


def tasks() -> dict[str, "TaskEntry"]:
    """The world's tasks by name."""
    from invlearn_jax.tasks.locomotion import robots  # noqa: PLC0415
    from invlearn_jax.tasks.registry import TaskEntry  # noqa: PLC0415

    found = {
        robots.Hopper: "one leg hops forward",
        robots.HalfCheetah: "a planar cheetah runs forward",
        robots.Walker2d: "a planar biped walks forward",
        robots.Ant: "four legs run forward",
        robots.Humanoid: "a humanoid runs forward",
    }
    return {
        task.name: TaskEntry(task, f"{summary} (gymnasium's {task.environment})") for task, summary in found.items()
    }
