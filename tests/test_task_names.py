"""Tasks by name and by file: what is found, what is registered, and what no other process would find."""

import jax
import jax.numpy as jnp
import pytest
from test_fit import Cart

import invlearn_jax as il
from invlearn_jax.tasks import registry
from invlearn_jax.tasks.registry import task_reference

TWO = """
import invlearn_jax as il
from test_fit import Cart

class First(Cart):
    pass

class Second(First):
    def __init__(self, mass): self.mass = mass

class Plain: pass
"""


def test_tasks_of_a_file(tmp_path, monkeypatch):
    file = tmp_path / "two.py"
    file.write_text(TWO)
    monkeypatch.chdir(tmp_path)
    task = il.make_task("two.py:First")
    assert (task.name, type(task)) == ("First", type(il.make_task(f"{file}:First")))
    assert task_reference(task) == f"{file}:First"
    for name, message in {
        "two.py:Frist": "Unknown task class in two.py 'Frist'. Nearest known: First",
        "two.py:Other": "Unknown task class in two.py 'Other'. Known: First, Second",
        "two.py:Plain": "Plain in two.py is no Task. Let the class inherit",
        "two.py:Second": "Second cannot be made without mass",
    }.items():
        with pytest.raises(ValueError, match=message):
            il.make_task(name)
    with pytest.raises(
        FileNotFoundError, match=r"There is no file .*three.py. Give a file that exists, as FILE.py:NAME"
    ):
        il.make_task("three.py:First")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("class A(:", "SyntaxError"),
        ("import nothing_there", "ModuleNotFoundError"),
        ("import sys; sys.exit(3)", "SystemExit"),
    ],
)
def test_a_file_that_cannot_be_imported_says_why(tmp_path, text, reason):
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(ValueError, match=rf"broken.py cannot be imported \({reason}"):
        il.make_task(f"{tmp_path / 'broken.py'}:A")


class Outer:
    class Inner(Cart):
        pass


def test_classes_that_no_other_process_finds(monkeypatch):
    monkeypatch.setattr(registry, "_TASKS", {})
    for hidden in (type("Local", (Cart,), {"__module__": __name__}), Outer.Inner):
        with pytest.raises(ValueError, match=f"{hidden.__name__} is defined where another process cannot find it"):
            task_reference(hidden())


def test_registering_a_task(monkeypatch):
    monkeypatch.setattr(registry, "_TASKS", {})
    il.register_task("my-cart", Cart, "a cart")
    assert type(il.make_task("my-cart")) is Cart
    with pytest.raises(ValueError, match="There is a task 'my-cart' already"):
        il.register_task("my-cart", Cart)
    with pytest.raises(ValueError, match="cannot be called 'a.py:B'"):
        il.register_task("a.py:B", Cart)
    with pytest.raises(ValueError, match=r"Unknown task .* 'my-card'. Nearest known: my-cart"):
        il.make_task("my-card")


def test_terms_of_one_name_are_added():
    from invlearn_jax.objectives import ObjectiveWeights, TaskObjective  # noqa: PLC0415

    objective = TaskObjective(Cart(), ObjectiveWeights(effort=2.0))
    states, actions = jnp.zeros((4, 2)), jnp.full((3, 1), 3.0)
    terms = objective(objective.init(jax.random.key(0)), states, actions, jnp.zeros(1))
    # The task's own, per second, and the regulariser of the actions as shares of their box.
    assert terms["effort"] == pytest.approx(0.1 * 3 * 1e-3 * 9 + 2.0)
