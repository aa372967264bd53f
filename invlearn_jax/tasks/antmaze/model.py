"""The MuJoCo model of D4RL's antmaze: an eight-jointed ant among walls, as one MJCF for MJX and C MuJoCo.

Numbers are D4RL's (``d4rl/locomotion/assets/ant.xml``, ``maze_env.py``). Cells are 4 m wide and the ant starts at the
origin, in the layout's first free cell ``(r0, c0)``; row index is the world's ``y`` axis and column index its ``x`` axis
(the other way round than in maze2d):

    x = 4 (column - c0),    y = 4 (row - r0)

A control step is 5 steps of RK4 of 0.02 s under one torque ``30 a`` N m at each joint. The state is the observation, ``[29]``:

    0:3     x, y, z of the torso, m
    3:7     its orientation, a unit quaternion w, x, y, z
    7:15    hip_1, ankle_1, .., hip_4, ankle_4, rad (legs counter-clockwise from +x +y)
    15:18   velocity of the torso, m/s, in the world's frame
    18:21   angular velocity of the torso, rad/s, in its own frame
    21:29   speeds of the joints, rad/s, in the same order
"""

import numpy as np

from invlearn_jax.tasks.layouts import Layout

TIMESTEP = 0.02  # s
FRAME_SKIP = 5  # steps under one action
TORQUE = 30.0  # N m at |action| = 1
CELL = 4.0  # m
WALL_HEIGHT = 2.0  # m
STANDING = 0.75  # m, height of the torso at the start
QPOS_SIZE = 15  # of qpos, the leading entries of a state
QUATERNION = slice(3, 7)
STATE_SIZE = 29
ACTION_SIZE = 8
MOTORS = (
    "hip_4",
    "ankle_4",
    "hip_1",
    "ankle_1",
    "hip_2",
    "ankle_2",
    "hip_3",
    "ankle_3",
)  # order of an action's entries

MARGIN = 0.01  # m, at which D4RL's contacts begin
_QUATERNION_TOLERANCE = 0.12
# Corners of a square: which way the legs 1 to 4 point.
_LEGS = ((1, 1), (-1, 1), (-1, -1), (1, -1))
# What MJX looks at; see ant_xml.
_MAX_CONTACT_POINTS = 10
_MAX_GEOM_PAIRS = 10


def cell_centre(layout: Layout, cell: np.ndarray) -> np.ndarray:
    """World position ``[..., 2]`` (m) of cells ``[..., 2]``, which are (row, column)."""
    return CELL * (np.asarray(cell) - layout.free[0])[..., ::-1]


def check_ant_states(states: np.ndarray, source: str = "The ant's states") -> np.ndarray:
    """Checks states of ants: numbers, finiteness, unit quaternions.

    A quaternion's length may differ from 1 by 0.12: D4RL's resets draw lengths of 0.9 to 1.11, and MuJoCo rescales them.

    Args:
        states: ``[..., 29]``.
        source: what they are, for the message.

    Returns:
        The states in float64.

    Raises:
        ValueError: names the first row at fault.
    """
    states = np.asarray(states, np.float64)
    if states.ndim < 1 or states.shape[-1] != STATE_SIZE:
        raise ValueError(
            f"{source} have shape {states.shape}; an ant's state has {STATE_SIZE} numbers (15 positions, 14 velocities)."
        )
    rows = states.reshape(-1, STATE_SIZE)
    bad = np.flatnonzero(~np.isfinite(rows).all(-1))
    if len(bad):
        raise ValueError(f"{source} hold NaN or infinity, first in row {bad[0]}. Remove or repair that row.")
    length = np.linalg.norm(rows[:, QUATERNION], axis=-1)
    bad = np.flatnonzero(np.abs(length - 1.0) > _QUATERNION_TOLERANCE)
    if len(bad):
        raise ValueError(
            f"{source} hold no unit quaternion in entries 3 to 6 (w, x, y, z), first in row {bad[0]}: its length is "
            f"{length[bad[0]]:.3g}, allowed is 1 within {_QUATERNION_TOLERANCE}. Rescale it, or check the order of the entries."
        )
    return states


def ant_xml(layout: Layout | None = None) -> str:
    """Writes the MJCF of an ant in a maze.

    One thing is written differently from D4RL's XML: only the floor has its contact margin of 1 cm, and walls are 1 cm
    larger instead (a contact's force depends on ``distance - margin`` alone). MJX drops contacts with boxes before they
    touch, and MuJoCo releases differ in how the margins of two geoms combine. A contact with a wall so acts 5 mm nearer to
    the ant's middle, and walls lose the rounding of 1 cm at their corners.

    ``max_contact_points`` and ``max_geom_pairs`` bound the work of MJX: of all pairs of a capsule and a wall it looks at the
    nearest ten, and of all contacts it keeps the deepest ten. In 75,000 states of walking and of falling ants in the large
    maze no more than 8 contacts were active, and pairs that touched were among the nearest 9.

    Args:
        layout: the maze, or None for a floor without walls.

    Returns:
        The model as MJCF text. Lengths in metres, torques in newton metres.
    """
    half, height = CELL / 2 + MARGIN, WALL_HEIGHT / 2
    cells = [] if layout is None else [(cell, cell_centre(layout, cell)) for cell in np.argwhere(layout.walls)]
    walls = "\n".join(
        f'    <geom name="wall_{row}_{column}" class="wall" size="{half} {half} {height + MARGIN}" '
        f'pos="{x} {y} {height}"/>'
        for (row, column), (x, y) in cells
    )
    legs = "\n".join(_leg(number, *corner) for number, corner in enumerate(_LEGS, start=1))
    motors = "\n".join(f'    <motor name="{joint}" joint="{joint}"/>' for joint in MOTORS)
    return f"""
<mujoco model="ant">
  <compiler inertiafromgeom="true" angle="degree"/>
  <option timestep="{TIMESTEP}" integrator="RK4"/>
  <custom>
    <numeric name="max_contact_points" data="{_MAX_CONTACT_POINTS}"/>
    <numeric name="max_geom_pairs" data="{_MAX_GEOM_PAIRS}"/>
  </custom>
  <default>
    <joint type="hinge" limited="true" armature="1" damping="1"/>
    <geom type="capsule" size="0.08" density="5" contype="1" conaffinity="0" condim="3" friction="1 .5 .5"
          solref=".02 1" solimp=".8 .8 .01" rgba=".8 .6 .4 1"/>
    <motor gear="1" ctrllimited="true" ctrlrange="-{TORQUE} {TORQUE}"/>
    <default class="wall">
      <geom type="box" conaffinity="1" rgba=".7 .5 .3 1"/>
    </default>
  </default>
  <asset>
    <texture name="floor" type="2d" builtin="checker" rgb1=".2 .3 .4" rgb2=".1 .2 .3" width="100" height="100"/>
    <material name="floor" texture="floor" texrepeat="20 20"/>
  </asset>
  <worldbody>
    <light directional="true" pos="0 0 10" dir="0 0 -1"/>
    <geom name="floor" type="plane" size="40 40 40" conaffinity="1" margin="{MARGIN}" material="floor"/>
    <body name="torso" pos="0 0 {STANDING}">
      <freejoint name="root"/>
      <geom name="torso" type="sphere" size="0.25"/>
{legs}
    </body>
{walls}
  </worldbody>
  <actuator>
{motors}
  </actuator>
</mujoco>
"""


def _leg(number: int, x: int, y: int) -> str:
    """A leg that points to the corner ``(x, y)`` of a square: a stump, an upper leg on the hip, a lower leg on the ankle."""
    link, foot = f"{0.2 * x} {0.2 * y} 0", f"{0.4 * x} {0.4 * y} 0"
    bend = (30, 70) if x > 0 else (-70, -30)
    return f"""
      <body name="leg_{number}">
        <geom name="stump_{number}" fromto="0 0 0 {link}"/>
        <body name="upper_{number}" pos="{link}">
          <joint name="hip_{number}" axis="0 0 1" range="-30 30"/>
          <geom name="upper_{number}" fromto="0 0 0 {link}"/>
          <body name="lower_{number}" pos="{link}">
            <joint name="ankle_{number}" axis="{-x * y} 1 0" range="{bend[0]} {bend[1]}"/>
            <geom name="lower_{number}" fromto="0 0 0 {foot}"/>
          </body>
        </body>
      </body>"""
