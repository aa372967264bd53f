"""Diffusion over whole plans: sequences of H tokens with C channels.

    x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps,    t = 0 .. N,    x_0 in [-1, 1],

with the cosine schedule of arXiv 2102.09672, and a network that predicts ``x_0`` from ``x_t``. What is known of a plan (its
first state, its goal) is painted over it before every prediction. A sampler visits some of the levels,
``t_1 = N > t_2 > ... > 0``, and each of its steps is linear in what it has at hand:

    x_s = a x_t + b x0(x_t) + c x0(the step before) + d z,    z ~ N(0, 1).

So a sampler is a table of ``(a, b, c, d)``, and all of them run in one scan.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from invlearn_jax.names import unknown_name
from invlearn_jax.networks import Denoiser
from invlearn_jax.types import Key, Params

SAMPLERS = ("ddpm", "ddim", "dpm_solver++")


class DiffusionParams(NamedTuple):
    """Parameters of a diffusion model.

    Attributes:
        net: the network's weights; the only part that is trained.
        low: ``[C]`` least value of each channel in the data.
        high: ``[C]`` greatest.
    """

    net: Params
    low: Float[Array, " C"]
    high: Float[Array, " C"]


class Known(NamedTuple):
    """What is known of a plan beforehand: ``values [H, C]`` where ``mask [H, C]`` is true, in the plan's own units."""

    values: Float[Array, "*b H C"]
    mask: Bool[Array, "*b H C"]


def cosine_schedule(train_steps: int) -> np.ndarray:
    """``abar [N + 1]``: ``abar_t = prod_i (1 - beta_i)``, ``beta_t = min(1 - f(t) / f(t - 1), 0.999)``.

    ``f(t) = cos^2((t / N + 0.008) / 1.008 * pi / 2)`` (arXiv 2102.09672, equation 17).
    """
    t = np.arange(train_steps + 1) / train_steps
    f = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    beta = np.minimum(1 - f[1:] / f[:-1], 0.999)
    return np.concatenate([[1.0], np.cumprod(1 - beta)])


class Steps(NamedTuple):
    """A sampler's steps: the noise ``levels [n]`` it visits and the ``table [n, 4]`` of ``(a, b, c, d)``."""

    levels: np.ndarray
    table: np.ndarray


def sampler_steps(sampler: str, train_steps: int, steps: int) -> Steps:
    """The table of a sampler.

    With ``sigma^2 = (1 - abar_s) / (1 - abar_t) (1 - abar_t / abar_s)``, the variance of the posterior:

    - ``ddpm``: ancestral sampling with that variance (arXiv 2006.11239; over fewer levels arXiv 2010.02502 with eta = 1);
    - ``ddim``: without noise (eta = 0);
    - ``dpm_solver++``: second order in ``log sqrt(abar / (1 - abar))``, multistep (arXiv 2211.01095, algorithm 2), first
      order in its first and its last step.

    Args:
        sampler: one of ``SAMPLERS``.
        train_steps: N.
        steps: how many levels to visit, evenly spaced from N down.

    Returns:
        The steps.

    Raises:
        ValueError: for an unknown sampler, or steps outside 1 .. N.
    """
    if sampler not in SAMPLERS:
        raise unknown_name("sampler", sampler, SAMPLERS)
    if not 1 <= steps <= train_steps:
        raise ValueError(
            f"denoise_steps is {steps}; allowed are 1 to the {train_steps} that the model was trained with."
        )
    levels = np.round(np.linspace(train_steps, 0, steps + 1)).astype(int)
    alpha_bar = cosine_schedule(train_steps)
    rows: list[tuple[float, ...]] = []
    last_width: float | None = None
    for t, s in zip(levels[:-1], levels[1:], strict=True):
        now, then = alpha_bar[t], alpha_bar[s]
        if s == 0:
            rows.append((0.0, 1.0, 0.0, 0.0))
            continue
        noise = 0.0
        if sampler == "ddpm":
            noise = np.sqrt((1 - then) / (1 - now) * (1 - now / then))
        kept = np.sqrt((1 - then - noise**2) / (1 - now))
        towards = np.sqrt(then) - kept * np.sqrt(now)
        width = 0.5 * (np.log(then / (1 - then)) - np.log(now / (1 - now)))
        before = 0.0
        if sampler == "dpm_solver++" and last_width is not None:
            # Extrapolates the prediction: (1 + 1 / 2r) x0 - (1 / 2r) x0 before, r being the ratio of the last two widths.
            before = -towards * width / (2 * last_width)
        rows.append((kept, towards - before, before, noise))
        last_width = width
    return Steps(levels[:-1], np.array(rows, np.float32))


class PlanDiffusion:
    """A diffusion model over plans; see the module's equations."""

    def __init__(self, network: Denoiser, horizon: int, channels: int, condition_size: int, train_steps: int) -> None:
        """Describes the model.

        Args:
            network: predicts ``x_0``; its condition has ``condition_size + 1`` numbers, or none.
            horizon: H tokens.
            channels: C.
            condition_size: D numbers that a plan may be asked for; 0 for none.
            train_steps: N.

        Raises:
            ValueError: if N is below 1.
        """
        if train_steps < 1:
            raise ValueError(f"train_steps is {train_steps}; give at least 1 level of noise.")
        self.network, self.horizon, self.channels = network, horizon, channels
        self.condition_size, self.train_steps = condition_size, train_steps

    def init(self, key: Key) -> DiffusionParams:
        """Fresh parameters for data within [-1, 1]; the learner sets the limits. The key is consumed."""
        ones = jnp.ones(self.channels)
        return DiffusionParams(self.network.init(key), -ones, ones)

    def normalize(self, params: DiffusionParams, x: Float[Array, "*b C"]) -> Float[Array, "*b C"]:
        """From the plan's units to [-1, 1]."""
        return 2 * (x - params.low) / (params.high - params.low) - 1

    def denormalize(self, params: DiffusionParams, x: Float[Array, "*b C"]) -> Float[Array, "*b C"]:
        """From [-1, 1] to the plan's units."""
        return params.low + (x + 1) / 2 * (params.high - params.low)

    def predict(
        self,
        net: Params,
        x: Float[Array, "B H C"],
        level: Float[Array, " B"],
        condition: Float[Array, "B D"],
        given: Float[Array, " B"],
    ) -> Float[Array, "B H C"]:
        """``x_0`` from ``x_t``.

        Args:
            net: the network's weights.
            x: ``x_t``.
            level: t.
            condition: in units of about 1; ignored where it is not given.
            given: 1 where the condition is given, 0 where it is left out.

        Returns:
            The prediction.
        """
        if self.condition_size:
            condition = jnp.concatenate([condition * given[:, None], given[:, None]], axis=-1)
        return self.network.apply(net, x, level, condition)

    def guided(
        self, net: Params, x: Float[Array, "B H C"], level: Array, condition: Float[Array, "B D"], guidance: float
    ) -> Float[Array, "B H C"]:
        """Classifier-free guidance ``x0_u + w (x0_c - x0_u)`` (arXiv 2207.12598), cut to [-1, 1].

        Since ``eps`` is linear in ``x_0`` for a given ``x_t``, this is the guidance of ``eps`` by the same weight.
        """
        size = x.shape[0]
        level = jnp.full((size,), level, x.dtype)
        if self.condition_size == 0 or guidance in (0.0, 1.0):
            found = self.predict(net, x, level, condition, jnp.full((size,), guidance, x.dtype))
        else:
            xs, levels, conditions = (jnp.concatenate([part, part]) for part in (x, level, condition))
            given = jnp.concatenate([jnp.ones(size, x.dtype), jnp.zeros(size, x.dtype)])
            both = self.predict(net, xs, levels, conditions, given)
            asked, free = both[:size], both[size:]
            found = free + guidance * (asked - free)
        return jnp.clip(found, -1.0, 1.0)

    def sample(
        self,
        params: DiffusionParams,
        key: Key,
        known: Known,
        condition: Float[Array, " D"],
        num: int,
        steps: Steps,
        guidance: float = 1.0,
        temperature: float = 1.0,
    ) -> Float[Array, "K H C"]:
        """Draws plans for one problem. The key is consumed.

        Args:
            params: the parameters.
            key: consumed.
            known: painted over the plan.
            condition: ``[D]``, what is asked for; empty for a model without.
            num: K plans.
            steps: from ``sampler_steps``.
            guidance: w; 1 is the plain conditional model, 0 leaves the condition out.
            temperature: factor on the standard deviation of all noise, the first included (arXiv 2211.15657).

        Returns:
            ``[K, H, C]`` in the plan's units.
        """
        first_key, steps_key = jax.random.split(key)
        values = self.normalize(params, known.values)
        shape = (num, self.horizon, self.channels)
        conditions = jnp.broadcast_to(condition, (num, self.condition_size))

        def paint(x: Array) -> Array:
            return jnp.where(known.mask, values, x)

        def step(carry: tuple[Array, Array], now: tuple) -> tuple[tuple[Array, Array], None]:
            x, before = carry
            level, (kept, towards, again, noise), key = now
            found = self.guided(params.net, x, level, conditions, guidance)
            x = kept * x + towards * found + again * before
            if steps.table[:, 3].any():
                x = x + temperature * noise * jax.random.normal(key, shape, values.dtype)
            return (paint(x), found), None

        x = paint(temperature * jax.random.normal(first_key, shape, values.dtype))
        visits = jnp.asarray(steps.levels, values.dtype), jnp.asarray(steps.table, values.dtype)
        keys = jax.random.split(steps_key, len(steps.levels))
        (x, _), _ = jax.lax.scan(step, (x, jnp.zeros(shape, values.dtype)), (*visits, keys))
        return self.denormalize(params, x)
