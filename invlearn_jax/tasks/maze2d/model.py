"""The MuJoCo model of D4RL's maze2d: a force-actuated ball among walls, as one MJCF for MJX and C MuJoCo.

Numbers are D4RL's (``d4rl/pointmaze/maze_model.py``). In free space one step of ``h = 0.01`` s obeys, per axis,

    v' = v + h (100 a - v) / (m + h),    x' = x + h v',    m = 4.1887902 kg

with the speed clipped to 5 m/s before each step. The ball's body sits 0.2 m beyond its cell (1.2 against a wall pitch of
1.0), so in ``qpos`` coordinates the wall of cell ``w`` spans ``[w - 0.7, w + 0.3]`` and a ball in the one-cell corridor
``c`` moves in ``[c - 0.6, c + 0.2]``.
"""

import numpy as np

from invlearn_jax.tasks.layouts import Layout

TIMESTEP = 0.01  # s
MASS = float(4.0 / 3.0 * np.pi * 0.1**3 * 1000.0)  # kg, a ball of 0.1 m and 1000 kg/m^3
GEAR = 100.0  # N at |action| = 1
DAMPING = 1.0  # N s / m
MAX_SPEED = 5.0  # m/s, per axis
RADIUS = 0.1  # m
WALL_HALF = 0.5  # m
BODY_OFFSET = 1.2  # m, the ball's body at qpos = 0
WALL_OFFSET = 1.0  # m, the wall of cell (0, 0)
# Where the ball's centre may be, relative to the index of a free cell between two walls.
FREE_LOW = WALL_OFFSET + WALL_HALF + RADIUS - BODY_OFFSET - 1.0  # -0.6
FREE_HIGH = WALL_OFFSET - WALL_HALF - RADIUS - BODY_OFFSET + 1.0  # +0.2

MARGIN = 0.002  # m, at which D4RL's contacts begin


def maze2d_xml(layout: Layout) -> str:
    """Writes the MJCF of a maze.

    Two things are written differently from D4RL's XML without changing the motion in x and y. The contact margin of 2 mm
    is part of the ball's radius (a contact's force depends on ``distance - margin`` alone): MJX drops box contacts before
    they touch, and MuJoCo releases differ in how the margins of two geoms combine. The floor, which D4RL's ball touches
    without any effect (frictionless, vertical normal), takes no part in collisions. ``max_contact_points`` and
    ``max_geom_pairs`` bound the work of MJX: a ball is over at most four cells, one of them free, so it touches at most
    three boxes, which are then the three nearest.

    Args:
        layout: the parsed maze.

    Returns:
        The model as MJCF text. Lengths in metres, forces in newtons.
    """
    walls = "\n".join(
        f'    <geom name="wall_{row}_{column}" type="box" material="wall" contype="2" '
        f'size="{WALL_HALF} {WALL_HALF} 0.2" pos="{row + WALL_OFFSET} {column + WALL_OFFSET} 0"/>'
        for row, column in np.argwhere(layout.walls)
    )
    return f"""
<mujoco model="maze2d">
  <compiler inertiafromgeom="true" angle="radian"/>
  <option timestep="{TIMESTEP}" gravity="0 0 0" iterations="20" integrator="Euler"/>
  <custom>
    <numeric name="max_contact_points" data="3"/>
    <numeric name="max_geom_pairs" data="3"/>
  </custom>
  <default>
    <joint damping="{DAMPING}" limited="false"/>
    <geom friction=".5 .1 .1" condim="1" contype="2" conaffinity="1"/>
  </default>
  <asset>
    <material name="wall" rgba=".7 .5 .3 1"/>
  </asset>
  <worldbody>
    <geom name="ground" type="plane" size="40 40 0.25" pos="0 0 -0.1" contype="0" conaffinity="0"/>
    <body name="particle" pos="{BODY_OFFSET} {BODY_OFFSET} 0">
      <geom name="particle" type="sphere" size="{RADIUS + MARGIN}" mass="{MASS!r}" rgba="0 0 1 1" contype="1"/>
      <joint name="ball_x" type="slide" pos="0 0 0" axis="1 0 0"/>
      <joint name="ball_y" type="slide" pos="0 0 0" axis="0 1 0"/>
    </body>
{walls}
  </worldbody>
  <actuator>
    <motor name="ball_x" joint="ball_x" ctrlrange="-1 1" ctrllimited="true" gear="{GEAR:g}"/>
    <motor name="ball_y" joint="ball_y" ctrlrange="-1 1" ctrllimited="true" gear="{GEAR:g}"/>
  </actuator>
</mujoco>
"""
