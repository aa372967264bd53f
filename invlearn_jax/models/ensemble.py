"""Several models of one kind, started apart: their mean predicts, their spread tells where the data end."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.models.sequence import SequenceModel
from invlearn_jax.types import Key, Params


class EnsembleModel:
    """E forward models under one contract; parameters carry a leading axis ``[E, ...]``."""

    gradient: Literal["reverse", "forward", "none"] = "reverse"

    def __init__(self, model: SequenceModel, size: int) -> None:
        """Describes the ensemble.

        Args:
            model: the kind of its members.
            size: E.

        Raises:
            ValueError: for fewer than two members.
        """
        if size < 2:
            raise ValueError(f"An ensemble of {size} has no spread; give 2 members or more, or use the model itself.")
        self.model, self.size, self.dt = model, size, model.dt

    def init(self, key: Key) -> Params:
        """Fresh parameters ``[E, ...]``, a key each. The key is consumed."""
        return jax.vmap(self.model.init)(jax.random.split(key, self.size))

    def unroll_members(
        self, params: Params, state: Float[Array, " S"], actions: Float[Array, "T A"]
    ) -> Float[Array, "E T1 S"]:
        """Every member's own states ``[E, T+1, S]``."""
        return jax.vmap(self.model.unroll, in_axes=(0, None, None))(params, state, actions)

    def unroll(self, params: Params, state: Float[Array, " S"], actions: Float[Array, "T A"]) -> Float[Array, "T1 S"]:
        """The members' mean states ``[T+1, S]``."""
        return self.unroll_members(params, state, actions).mean(0)

    def spread(self, params: Params, state: Float[Array, " S"], actions: Float[Array, "T A"]) -> Float[Array, " T1"]:
        """``sqrt(mean_s var_e)``: the members' disagreement after each step, in the states' units."""
        members = self.unroll_members(params, state, actions)
        return jnp.sqrt(members.var(0).mean(-1))


class DisagreementModel(EnsembleModel):
    """An ensemble whose states carry their members' disagreement along, for an objective to charge it.

    unroll(s, a) = [mean_e states, d_t],    d_t = sqrt(mean_s (var_e states_s / scale_s^2))
    """

    def __init__(self, model: SequenceModel, size: int, scale: Float[Array, " S"]) -> None:
        """Describes the ensemble.

        Args:
            model: the kind of its members.
            size: E.
            scale: ``[S]`` what the entries of the state are measured in, the size of their change over a plan, say.
        """
        super().__init__(model, size)
        self._scale = scale

    def unroll(self, params: Params, state: Float[Array, " S"], actions: Float[Array, "T A"]) -> Float[Array, "T1 S1"]:
        """The members' mean states with their disagreement as the last entry ``[T+1, S+1]``."""
        members = self.unroll_members(params, state, actions)
        disagreement = jnp.sqrt((members.var(0) / self._scale**2).mean(-1) + 1e-12)
        return jnp.concatenate([members.mean(0), disagreement[:, None]], axis=-1)
