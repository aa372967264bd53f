"""D4RL's maze2d: a force-actuated ball among walls."""
