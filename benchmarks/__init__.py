"""Measurements behind the published numbers; ``results/`` holds their JSON."""
