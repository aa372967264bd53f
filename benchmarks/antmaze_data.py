"""How long the data of an antmaze take to make, in D4RL's size, and what is in them.

    python -m benchmarks.antmaze_data --envs=antmaze-umaze-v2,antmaze-large-diverse-v2 \
        --output=benchmarks/results/ant_data.json

C MuJoCo on all cores; the time includes compiling.
"""

import time

import numpy as np
from absl import flags

from invlearn_jax.files import write_json
from invlearn_jax.io.command import define_seed, run_program
from invlearn_jax.io.compile_cache import use_compile_cache
from invlearn_jax.io.run_folder import manifest
from invlearn_jax.keys import from_seed
from invlearn_jax.tasks.antmaze import specs as antmaze_specs
from invlearn_jax.tasks.antmaze.generator import antmaze_data
from invlearn_jax.tasks.antmaze.goal_policy import read_goal_policy
from invlearn_jax.tasks.antmaze.rows import uprightness

_ENVS = flags.DEFINE_list("envs", ["antmaze-umaze-v2", "antmaze-large-diverse-v2"], "Whose data to make.")
_POLICY = flags.DEFINE_string("policy", "ant-v1", "The goal-reaching policy that makes them.")
_ROWS = flags.DEFINE_integer("rows", 1_000_000, "Rows of each.", lower_bound=1)
_NOISE = flags.DEFINE_float("noise", 0.2, "Standard deviation of the noise on actions.", lower_bound=0.0)
_SEED = define_seed(20261125, "Seed of the data.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to write the rows as JSON.", required=True)


def main(argv: list[str]) -> None:
    """Makes them and keeps the times."""
    use_compile_cache()
    policy, rows = read_goal_policy(_POLICY.value), []
    for env in _ENVS.value:
        spec, begin = antmaze_specs.spec(env), time.perf_counter()
        data = antmaze_data(spec, policy, from_seed(_SEED.value), _ROWS.value, noise=_NOISE.value)
        seconds = time.perf_counter() - begin
        states, moving = data["observations"], ~data["timeouts"][:-1]
        steps = np.linalg.norm(np.diff(states[:, :2], axis=0), axis=1)[moving]
        rows.append(
            {
                "env": env,
                "rows": len(states),
                "seconds": seconds,
                "rows_per_second": len(states) / seconds,
                "metres_per_step": float(steps.mean()),
                "flipped_share": float((uprightness(states) < 0).mean()),
                "rewarded_share": float((data["rewards"] > 0).mean()),
            }
        )
        print(rows[-1], flush=True)
    write_json(_OUTPUT.value, {"noise": _NOISE.value, "rows": rows, **manifest(_SEED.value)})


if __name__ == "__main__":
    run_program(main)
