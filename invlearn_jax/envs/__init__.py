"""Environments: maze2d and antmaze on MJX and C MuJoCo, layouts and the registry."""
