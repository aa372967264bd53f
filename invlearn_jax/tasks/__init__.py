"""Tasks: what is to be controlled and what is asked of it. One folder a world; ``task.py`` is the contract that all meet."""
