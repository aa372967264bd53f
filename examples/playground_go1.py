"""A legged robot of MuJoCo Playground that is told how to move. Needs ``pip install 'invlearn_jax[playground]'``."""

from invlearn_jax.tasks.adapters.playground import PlaygroundTask


class Go1(PlaygroundTask):
    """Go1 follows a commanded velocity: forward, sideways and turning. Its reward, but what it did before is not in a state."""

    environment, goal_info = "Go1JoystickFlatTerrain", "command"
    held_info = ("feet_air_time", "last_act", "last_contact", "swing_peak")
    horizon, velocity_spread = 16, 0.5
