"""Environments: maze2d on MJX and C MuJoCo, layouts and the registry."""
