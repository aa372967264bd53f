"""Classic and robot control: swing-ups, arms, a quadrotor, a walker and pushing, with MuJoCo models of the library's own."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invlearn_jax.tasks.registry import TaskEntry


def tasks() -> dict[str, "TaskEntry"]:
    """The world's tasks by name."""
    from invlearn_jax.tasks.control import arms, push, quadrotor, swing_up, walker  # noqa: PLC0415
    from invlearn_jax.tasks.registry import TaskEntry  # noqa: PLC0415

    found = {
        swing_up.Pendulum: "a pendulum with a weak motor swings up and stays upright",
        swing_up.CartPole: "a cart swings its pole up and balances it in the middle of the rail",
        swing_up.DoubleCartPole: "a cart swings two poles in a row up and balances them",
        swing_up.Acrobot: "two links driven at the elbow alone swing up and balance",
        arms.TwoLinkReach: "a planar arm of two links brings its tip to a point",
        arms.SevenJointReach: "an arm of seven joints brings its tip to a point in space",
        quadrotor.QuadrotorPose: "a quadrotor flies to a point and heading, and hovers there",
        walker.WalkerSpeed: "a planar walker keeps a commanded forward speed",
        push.PlanarPush: "a pusher shoves a box to a place on a table",
    }
    return {task.name: TaskEntry(task, summary) for task, summary in found.items()}
