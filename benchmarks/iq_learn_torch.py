"""IQ-Learn's update in PyTorch, as one would write it there for speed: what ours is timed against.

Written from the equations of Garg et al., "IQ-Learn: Inverse soft-Q Learning for Imitation" (NeurIPS 2021), with the published
settings. Data are random numbers of the tasks' sizes in memory; an update samples its batch, and nothing else is timed.

    R = Q(s, a) - (1 - done) gamma V(s')
    discrete:    mean_E[V(s) - (1 - done) gamma V(s')] - mean_E[R] + mean_E[R^2] / (4 alpha),    V = tau log sum_a exp(Q / tau)
    continuous:  (1 - gamma) mean_E[V(s)] - mean_E[R] + mean_all[R^2] / (4 alpha),    V = Q(s, a) - tau log pi(a|s), a ~ pi

with V(s') of the target network in the continuous one, whose actor then minimises ``mean_all[tau log pi - Q]``.

    from benchmarks.iq_learn_torch import updates_per_second
    updates_per_second("discrete", seconds=20, threads=1)

PyTorch is in no lock: it may live in an environment of its own, this module needs nothing else.
"""

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

_GAMMA, _ALPHA = 0.99, 0.5
_LOG_STD = (-5.0, 2.0)
_ROWS = 50_000
_WARM, _BLOCK = 100, 0.5  # updates before the clock starts; seconds of a block


def updates_per_second(
    which: str, seconds: float = 10.0, threads: int = 1, compiled: bool = False, cpu_time: bool = False
) -> float:
    """The median rate over blocks of half a second.

    Args:
        which: ``discrete`` (4 observations, 2 actions, batches of 32 expert rows) or ``continuous`` (11 and 3, batches of 256
            expert and 256 other rows).
        seconds: to run for, after 100 updates.
        threads: of PyTorch.
        compiled: whether the whole update goes through ``torch.compile``, which needs a C++ compiler.
        cpu_time: whether seconds are those that this process had a core for; of one thread on a machine that is shared.

    Raises:
        ImportError: without PyTorch.
        ValueError: for an unknown update, or no time to run.
    """
    if which not in UPDATES or seconds <= 0 or threads < 1:
        raise ValueError(
            f"which is {which!r}, seconds {seconds}, threads {threads}; give one of {sorted(UPDATES)}, and more than 0."
        )
    torch = _torch()
    clock = time.process_time if cpu_time else time.perf_counter
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    update = UPDATES[which](torch)
    if compiled:
        update = torch.compile(update)
    for _ in range(_WARM):
        update()
    rates, end = [], clock() + seconds
    while not rates or clock() < end:
        begin, count = clock(), 0
        while clock() - begin < _BLOCK:
            update()
            count += 1
        rates.append(count / (clock() - begin))
    return statistics.median(rates)


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "The rival of the speed comparison is PyTorch, which is not installed: pip install torch==2.13.0."
        ) from error
    return torch


def discrete_update(torch: Any, observed: int = 4, choices: int = 2, batch: int = 32) -> Callable[[], Any]:
    """An update of Q (64, 64, ELU) from expert rows; returns its loss. tau = 0.001, Adam 1e-4, as for CartPole."""
    temperature = 0.001
    net = _mlp(torch, torch.nn.ELU, observed, 64, choices)
    # One fused step for all parameters.
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, fused=True)
    states, following = torch.randn(_ROWS, observed), torch.randn(_ROWS, observed)
    # Both states of a row together: one gather, one pass through the net.
    pairs = torch.stack([states, following], 1)
    actions, going = torch.randint(choices, (_ROWS, 1)), _GAMMA * (torch.rand(_ROWS) > 0.01).float()

    def update() -> Any:
        rows = torch.randint(_ROWS, (batch,))
        q = net(pairs[rows])
        values = temperature * torch.logsumexp(q / temperature, -1)
        chosen = q[:, 0].gather(1, actions[rows])[:, 0]
        later = going[rows] * values[:, 1]
        rewards = chosen - later
        loss = (values[:, 0] - later - rewards + rewards.square() / (4 * _ALPHA)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return update


def continuous_update(torch: Any, observed: int = 11, acting: int = 3, batch: int = 256) -> Callable[[], Any]:
    """An update of Q, target and actor (256, 256, ReLU); returns Q's loss. tau = 0.01, Adam 3e-4 and 3e-5, as for Hopper."""
    temperature, speed = 0.01, 0.005
    critic, target = (_mlp(torch, torch.nn.ReLU, observed + acting, 256, 1) for _ in range(2))
    actor = _mlp(torch, torch.nn.ReLU, observed, 256, 2 * acting)
    target.load_state_dict(critic.state_dict())
    target.requires_grad_(False)
    critic_params, actor_params, copies = (list(net.parameters()) for net in (critic, actor, target))
    critic_optimizer = torch.optim.Adam(critic_params, lr=3e-4, fused=True)
    actor_optimizer = torch.optim.Adam(actor_params, lr=3e-5, fused=True)
    # A row is [s, a, s', gamma (1 - done)]; the first half of the tensor is the expert's.
    replay = torch.randn(2 * _ROWS, 2 * observed + acting + 1)
    replay[:, observed : observed + acting].tanh_()
    replay[:, -1] = _GAMMA * (torch.rand(2 * _ROWS) > 0.01)
    offset = torch.arange(2).repeat_interleave(batch) * _ROWS
    sizes = [observed + acting, observed, 1]

    def sampled(states: Any) -> tuple[Any, Any]:
        mean, spread = actor(states).chunk(2, -1)
        low, high = _LOG_STD
        log_std = low + 0.5 * (high - low) * (torch.tanh(spread) + 1)
        noise = torch.randn_like(mean)
        raw = mean + log_std.exp() * noise
        normal = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
        # log(1 - tanh^2), stable.
        squashed = 2 * (math.log(2) - raw - torch.nn.functional.softplus(-2 * raw))
        return torch.tanh(raw), (normal - squashed).sum(-1, keepdim=True)

    def update() -> Any:
        taken, following, going = (x for x in replay[offset + torch.randint(_ROWS, (2 * batch,))].split(sizes, -1))
        states = taken[:, :observed]
        with torch.no_grad():
            seen = torch.cat([following, states[:batch]])
            drawn, log_prob = sampled(seen)
            later = going * (
                target(torch.cat([following, drawn[: 2 * batch]], -1)) - temperature * log_prob[: 2 * batch]
            )
        imagined = torch.cat([states[:batch], drawn[2 * batch :]], -1)
        q = critic(torch.cat([taken, imagined]))
        rewards = q[: 2 * batch] - later
        first = (q[2 * batch :] - temperature * log_prob[2 * batch :]).mean()
        loss = (1 - _GAMMA) * first - rewards[:batch].mean() + rewards.square().mean() / (4 * _ALPHA)
        critic_optimizer.zero_grad()
        loss.backward()
        critic_optimizer.step()

        action, log_prob = sampled(states)
        actor_loss = (temperature * log_prob - critic(torch.cat([states, action], -1))).mean()
        actor_optimizer.zero_grad()
        # Of the critic's parameters no gradient is asked for.
        actor_loss.backward(inputs=actor_params)
        actor_optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(copies, critic_params, speed)
        return loss

    return update


def _mlp(torch: Any, activation: Any, inputs: int, hidden: int, outputs: int) -> Any:
    """Two hidden layers, with orthogonal weights."""
    nn = torch.nn
    net = nn.Sequential(
        nn.Linear(inputs, hidden), activation(), nn.Linear(hidden, hidden), activation(), nn.Linear(hidden, outputs)
    )
    for layer in net[::2]:
        nn.init.orthogonal_(layer.weight)
        nn.init.zeros_(layer.bias)
    return net


UPDATES: dict[str, Callable[..., Callable[[], Any]]] = {
    "discrete": discrete_update,
    "continuous": continuous_update,
}
