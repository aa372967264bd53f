"""MuJoCo Playground's CartpoleSwingup, as docs/tasks.md shows it. Needs ``pip install 'invlearn_jax[playground]'``."""

from invlearn_jax.tasks.adapters.playground import PlaygroundTask


class CartpoleSwingup(PlaygroundTask):
    """A cart swings its pole up; reward, physics, start and episode are Playground's."""

    environment, best_reward = "CartpoleSwingup", 1.0
    horizon, execute_steps, velocity_spread = 32, 4, (1.0, 5.0)  # a step is 0.01 s

    def configure(self, method, settings):
        if method == "inverter":  # a swing-up takes longer than a plan
            settings.tail.kind = "bootstrap"
            settings.model.chunk = 8
            settings.inverter.steps = 4000
            settings.correction.rounds = 0
        return settings
