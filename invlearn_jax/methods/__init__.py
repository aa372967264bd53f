"""Methods: how a planner is learned. One file a method, with its settings and its recipe."""
