"""Maze parsing, its errors, and the named layouts against D4RL's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invlearn_jax.tasks import layouts
from invlearn_jax.tasks.layouts import cell_distances, parse_layout

# D4RL's strings (d4rl/pointmaze/maze_model.py), their free cells and goal.
NAMED = {
    "OPEN": ("####### #OOOOO# #OOGOO# #OOOOO# #######", 15, (2, 3)),
    "UMAZE": ("##### #GOO# ###O# #OOO# #####", 7, (1, 1)),
    "MEDIUM": ("######## #OO##OO# #OO#OOO# ##OOO### #OO#OOO# #O#OO#O# #OOO#OG# ########", 26, (6, 6)),
    "LARGE": (
        "############ #OOOO#OOOOO# #O##O#O#O#O# #OOOOOO#OOO# #O####O###O# "
        "#OO#O#OOOOO# ##O#O#O#O### #OO#OOO#OGO# ############",
        46,
        (7, 9),
    ),
    "ANT_UMAZE": ("##### #OOO# ###O# #GOO# #####", 7, (3, 1)),
    "EVAL_UMAZE": ("##### #OOG# #O### #OOO# #####", 7, (1, 3)),
    "EVAL_MEDIUM": ("######## #OOOOOG# #O#O##O# #OOOO#O# ###OO### #OOOOOO# #OO##OO# ########", 26, (1, 6)),
    "EVAL_LARGE": (
        "############ #OO#OOO#OGO# ##O###O#O#O# #OO#O#OOOOO# #O##O#OO##O# "
        "#OOOOOO#OOO# #O##O#O#O### #OOOO#OOOOO# ############",
        47,
        (1, 9),
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_layouts_are_d4rls(name):
    text, cells, goal = NAMED[name]
    layout = parse_layout(getattr(layouts, name))
    assert layout.rows == tuple(text.split())
    assert len(layout.free) == cells
    assert tuple(layout.goal) == goal
    assert (~layout.walls).sum() == cells


def test_parsing():
    layout = parse_layout(["#####", "#OG##", "##O##", "#####"])
    assert layout.walls.tolist() == [
        [True] * 5,
        [True, False, False, True, True],
        [True, True, False, True, True],
        [True] * 5,
    ]
    assert layout.free.tolist() == [[1, 1], [1, 2], [2, 2]]
    assert layout.goal.tolist() == [1, 2]
    assert layout.rows == ("#####", "#OG##", "##O##", "#####")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        ([""], "no rows"),
        ("#####\n#GOO#\n#####", "one string was given.*split"),
        (["###", "###", "###"], "no free cell.*Mark free cells"),
        (["####", "#GO", "####"], "ragged: row 1 has 3 characters, row 0 has 4"),
        (["####", "#GS#", "####"], "Unknown character 'S' in row 1.*allowed are '#'"),
        (["####", "#OO#", "####"], "0 goal cells; exactly one"),
        (["####", "#GG#", "####"], "2 goal cells; exactly one"),
        (["####", "OOG#", "####"], "border has a gap.*Close"),
        (["#O##", "#OG#", "####"], "border has a gap"),
        (["######", "#GO#O#", "######"], r"goal \(1, 1\) cannot be reached from the free cell \(1, 4\)"),
        (["#####", "#G#O#", "##O##", "#####"], "cannot be reached"),  # diagonal neighbours do not join
    ],
)
def test_bad_mazes_say_what_is_wrong(rows, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        parse_layout(rows)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_distances_are_breadth_first(height, width, seed):
    """In any maze: 0 at the source, neighbours differ by at most 1, each reached cell has a nearer neighbour."""
    rng = np.random.default_rng(seed)
    walls = np.ones((height + 2, width + 2), bool)
    walls[1:-1, 1:-1] = rng.uniform(size=(height, width)) < 0.4
    source = np.array([rng.integers(1, height + 1), rng.integers(1, width + 1)])
    walls[tuple(source)] = False
    distance = cell_distances(walls, source)
    assert distance[tuple(source)] == 0
    assert (distance[walls] == -1).all()
    for row, column in np.argwhere(~walls):
        around = [
            distance[row + i, column + j]
            for i, j in ((0, 1), (1, 0), (0, -1), (-1, 0))
            if not walls[row + i, column + j]
        ]
        here = distance[row, column]
        if here > 0:
            assert min(n for n in around if n >= 0) == here - 1
        if here >= 0:
            assert all(abs(n - here) <= 1 and n >= 0 for n in around)
        else:
            assert all(n == -1 for n in around)


def test_a_layout_cannot_be_edited():
    layout = parse_layout(layouts.UMAZE)
    for name in ("walls", "free", "goal"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(layout, name)[...] = 0
