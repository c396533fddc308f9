"""Checkpoints: whole, atomic, checked, and never half-read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.errors import PuzzleboxError
from puzzlebox.runs import checkpoint

STATE = {
    "weights": jnp.arange(6.0).reshape(2, 3),
    "count": jnp.int32(7),
    "flags": jnp.array([True, False]),
    "pixels": jnp.arange(4, dtype=jnp.uint8),
    "key": jax.random.split(jax.random.key(3), 2),
}


def shapes():
    return jax.eval_shape(lambda: STATE)


def test_a_state_comes_back_bit_for_bit(tmp_path):
    path = checkpoint.save(tmp_path, 10, STATE, {"steps": 10, "seconds": 1.5})
    state, progress = checkpoint.load(path, shapes())
    assert progress == {"steps": 10, "seconds": 1.5}
    assert jax.tree.structure(state) == jax.tree.structure(STATE)
    for name in ("weights", "count", "flags", "pixels"):
        assert state[name].dtype == STATE[name].dtype
        np.testing.assert_array_equal(state[name], STATE[name])
    np.testing.assert_array_equal(jax.random.key_data(state["key"]), jax.random.key_data(STATE["key"]))


def test_only_the_newest_three_are_kept_and_no_partial_file(tmp_path):
    for steps in (1, 2, 30, 4, 500):
        checkpoint.save(tmp_path, steps, STATE, {"steps": steps})
    assert [int(path.stem) for path in checkpoint.list_checkpoints(tmp_path)] == [4, 30, 500]
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, damage):
    checkpoint.save(tmp_path, 1, STATE, {"steps": 1})
    newest = checkpoint.save(tmp_path, 2, STATE, {"steps": 2})
    content = bytearray(newest.read_bytes())
    if damage == "flip":
        content[-3] ^= 1
    newest.write_bytes({"truncate": content[: len(content) // 2], "flip": content, "empty": b""}[damage])
    _, progress, skipped = checkpoint.load_newest(tmp_path, shapes())
    assert progress["steps"] == 1
    assert len(skipped) == 1
    assert newest.name in skipped[0]
    assert "falling back" in skipped[0]


def test_no_usable_checkpoint_is_one_clear_error(tmp_path):
    with pytest.raises(PuzzleboxError, match="no usable checkpoint"):
        checkpoint.load_newest(tmp_path, shapes())


def test_another_shape_is_refused_by_name(tmp_path):
    path = checkpoint.save(tmp_path, 1, STATE, {"steps": 1})
    other = shapes() | {"weights": jax.ShapeDtypeStruct((9, 9), jnp.float32)}
    with pytest.raises(PuzzleboxError, match=r"weights.*\(9, 9\).*\(2, 3\)"):
        checkpoint.load(path, other)


def test_a_state_of_another_version_is_refused_in_one_line(tmp_path):
    path = checkpoint.save(tmp_path, 1, STATE, {"steps": 1})
    other = shapes() | {"biases": jax.ShapeDtypeStruct((3,), jnp.float32)}
    with pytest.raises(PuzzleboxError, match=r"lacks \['biases'\], because another version .* start again") as raised:
        checkpoint.load(path, other)
    assert "\n" not in str(raised.value)
