"""Several models of one kind, started apart: their mean predicts, their spread tells where the data end."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from invlearn_jax.models.chunked import ChunkedModel
from invlearn_jax.types import ForwardModel, Key, Params


class EnsembleModel:
    """E forward models under one contract; parameters carry a leading axis ``[E, ...]``."""

    gradient: Literal["reverse", "forward", "none"] = "reverse"

    def __init__(self, model: ForwardModel, size: int) -> None:
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

    unroll(s, a) = [mean_e states_e, d_t],    d_t = sqrt(mean_i var_e (seen(states_e, s)_i / delta_i))

    States are compared as seen from the first one, in units of ``delta``, the size of their change over one chunk in the data.
    """

    model: ChunkedModel

    def __init__(self, model: ChunkedModel, size: int) -> None:
        """Describes the ensemble; see ``EnsembleModel``."""
        super().__init__(model, size)

    def unroll(self, params: Params, state: Float[Array, " S"], actions: Float[Array, "T A"]) -> Float[Array, "T1 S1"]:
        """The members' mean states with their disagreement as the last entry ``[T+1, S+1]``."""
        members = self.unroll_members(params, state, actions)
        seen = self.model.seen(members, jnp.broadcast_to(state, members.shape)) / params.delta[0, -1]
        # The root is kept away from zero, where its gradient is infinite.
        disagreement = jnp.sqrt(seen.var(0).mean(-1) + 1e-12)
        return jnp.concatenate([members.mean(0), disagreement[:, None]], axis=-1)
