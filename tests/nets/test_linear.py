"""Adapters by hand: zero at the start, merged they are the same function, and only they are trained."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox.errors import UsageError
from puzzlebox.nets.linear import FEW, Linear, add_lora, linear_places, merge_lora, product, scaled_layers, trainable


class Block(eqx.Module):
    up: Linear
    down: Linear


class Model(eqx.Module):
    scale: jax.Array
    blocks: list[Block]

    def __call__(self, x):
        for block in self.blocks:
            x = x + block.down(jnp.tanh(block.up(x)))
        return x * self.scale


def array(*shape):
    return jnp.asarray(np.random.default_rng(sum(shape)).standard_normal(shape), jnp.float32)


@pytest.fixture
def model():
    return Model(array(4), [Block(Linear(array(6, 4), array(6)), Linear(array(4, 6))) for _ in range(2)])


X = array(3, 4)


def test_a_linear_layer_by_hand():
    layer = Linear(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([10.0, 20.0]))
    np.testing.assert_allclose(layer(jnp.array([1.0, -1.0])), [10 + 1 - 2, 20 + 3 - 4])


@pytest.mark.parametrize("rows", [1, FEW, FEW + 1])
def test_few_rows_and_many_are_the_same_product(rows):
    """Numbers and gradients, also mapped over models, as where several seeds train at once."""
    x, weight, weights = array(1, rows, 3), array(5, 3), array(2, 5, 3)
    expected = np.asarray(x, np.float64) @ np.asarray(weight, np.float64).T
    np.testing.assert_allclose(product(x, weight), expected, atol=1e-5)
    ours = jax.grad(lambda w: (product(x, w) ** 2).sum())
    plain = jax.grad(lambda w: ((x @ w.T) ** 2).sum())
    np.testing.assert_allclose(ours(weight), plain(weight), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(jax.vmap(ours)(weights), jax.vmap(plain)(weights), rtol=1e-4, atol=1e-4)


def test_an_adapted_layer_by_hand():
    a, b = jnp.array([[1.0], [2.0]]), jnp.array([[5.0, -1.0]])
    layer = Linear(jnp.eye(2), None, a, b, 0.5)
    np.testing.assert_allclose(layer(jnp.array([3.0, 4.0])), [3 + 0.5 * 11 * 5, 4 - 0.5 * 11])
    np.testing.assert_allclose(merge_lora(layer).weight, [[1 + 2.5, 5.0], [-0.5, 1 - 1.0]])


def test_fresh_adapters_change_nothing_and_merge_to_the_model_itself(model):
    fresh = add_lora(model, 2, 8.0, ("all",), jax.random.key(0))
    np.testing.assert_array_equal(fresh(X), model(X))
    assert jax.tree.structure(merge_lora(fresh)) == jax.tree.structure(model)
    assert jax.tree.all(jax.tree.map(lambda x, y: bool((x == y).all()), merge_lora(fresh), model))
    for _, where in linear_places(fresh):
        layer = where(fresh)
        outputs, inputs = layer.weight.shape
        assert (layer.lora_a.shape, layer.lora_b.shape, layer.lora_scale) == ((inputs, 2), (2, outputs), 4.0)
        assert 0 < jnp.abs(layer.lora_a).max() <= inputs**-0.5
    assert not (fresh.blocks[0].up.lora_a == fresh.blocks[1].up.lora_a).any()


def test_merged_is_adapted(model):
    adapted = add_lora(model, 3, 2.0, ("up",), jax.random.key(0))
    adapted = eqx.tree_at(lambda m: [b.up.lora_b for b in m.blocks], adapted, [array(3, 6), -array(3, 6)])
    assert jnp.abs(adapted(X) - model(X)).max() > 0.1
    np.testing.assert_allclose(merge_lora(adapted)(X), adapted(X), atol=1e-5)


def test_only_adapters_are_trained(model):
    def count(tree):
        return sum(x.size for x in jax.tree.leaves(eqx.filter(tree, trainable(tree))))

    assert count(model) == 4 + 2 * (24 + 6 + 24)
    adapted = add_lora(model, 2, 1.0, ("down",), jax.random.key(0))
    assert count(adapted) == 2 * (6 * 2 + 2 * 4)
    assert count(add_lora(model, 2, 1.0, ("all",), jax.random.key(0))) == 2 * (20 + 20)
    kept = eqx.filter(adapted, trainable(adapted))
    assert kept.blocks[0].up.weight is None and kept.blocks[0].down.weight is None and kept.scale is None


def test_the_part_that_stays_and_the_part_that_trains_make_the_whole(model):
    adapted = add_lora(model, 2, 6.0, ("down",), jax.random.key(0))
    train, keep = eqx.partition(adapted, trainable(adapted))
    again = scaled_layers(model, 2, 6.0, ("down",))
    assert jax.tree.structure(again) == jax.tree.structure(keep)
    np.testing.assert_array_equal(eqx.combine(train, again)(X), adapted(X))


def test_half_precision_stays_half_precision(model):
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), model)
    adapted = add_lora(half, 2, 6.0, ("all",), jax.random.key(0))
    assert adapted.blocks[0].up.lora_a.dtype == jnp.float32
    assert adapted(X.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    assert merge_lora(adapted).blocks[0].up.weight.dtype == jnp.bfloat16


def test_a_target_that_is_no_layer(model):
    with pytest.raises(UsageError, match="names 'query'; this model's layers are: down, up, all"):
        add_lora(model, 2, 1.0, ("query",), jax.random.key(0))
