"""A planner's folder as one ONNX file, checked against JAX. Needs ``pip install jax2onnx onnxruntime``.

python examples/to_onnx.py runs/reach/planner reach.onnx

jax2onnx 0.17 converts functions of MJX wrongly and says nothing: what networks see of states and goals must be written without
them, as ``MujocoTask.site`` and ``body`` are.
"""

import sys

import jax
import jax.extend
import numpy as np
import onnxruntime
from jax.interpreters.partial_eval import dce_jaxpr
from jax2onnx import to_onnx

import invlearn_jax as il


def main(folder, path, batch=1):
    """Writes the file, runs it with onnxruntime, and says how far the two are apart."""
    planner, params = il.load_planner(folder)
    sizes = planner.inverter.state_size, planner.inverter.goal_size
    examples = [np.random.default_rng(0).normal(size=(batch, size)).astype(np.float32) for size in sizes if size]

    def plan(state, *goal):
        problem = il.Problem(state, goal[0] if goal else np.zeros(0, np.float32))
        return planner.plan(params, jax.random.key(0), problem).actions

    # Traced here, since jax2onnx replaces functions of jax.numpy while it traces by itself; and without the plan's prediction,
    # which its actions do not need where nothing refines them.
    traced = jax.make_jaxpr(jax.vmap(plan))(*examples)
    needed, _ = dce_jaxpr(traced.jaxpr, [True], instantiate=True)
    program = jax.extend.core.jaxpr_as_fun(jax.extend.core.ClosedJaxpr(needed, traced.consts))
    to_onnx(program, [x.shape for x in examples], model_name="planner", return_mode="file", output_path=path)

    session = onnxruntime.InferenceSession(path)
    found = session.run(None, dict(zip([given.name for given in session.get_inputs()], examples, strict=True)))[0]
    error = np.abs(found - jax.jit(jax.vmap(plan))(*examples)).max()
    if error > 1e-3:
        raise SystemExit(
            f"{path} is wrong: actions are off by {error:.1e}. Write what networks see without functions of MJX."
        )
    print(f"{path}: {[x.shape for x in examples]} -> {found.shape}, within {error:.1e} of JAX")


if __name__ == "__main__":
    main(*sys.argv[1:3])
