"""Small worlds with discrete actions on which imitation is judged: a grid, and gymnasium's cart-pole, acrobot and lander."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invlearn_jax.tasks.registry import TaskEntry


def tasks() -> dict[str, "TaskEntry"]:
    """The world's tasks by name."""
    from invlearn_jax.tasks.classic import acrobot, cartpole, gridworld, lunarlander  # noqa: PLC0415
    from invlearn_jax.tasks.registry import TaskEntry  # noqa: PLC0415

    found = {
        gridworld.GridWorld: "a walk on 5 by 5 cells to one of three corners; exact solutions are known",
        cartpole.CartPole: "gymnasium's CartPole-v1 in JAX: a cart pushed left or right keeps its pole up",
        acrobot.Acrobot: "gymnasium's Acrobot-v1 in JAX: two links driven at the elbow swing their tip up",
        lunarlander.LunarLander: "gymnasium's LunarLander-v3, stepped by Box2D: a lander comes down on its pad",
    }
    return {task.name: TaskEntry(task, summary) for task, summary in found.items()}
